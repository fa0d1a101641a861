//! The answers to a refused sign-up, for an app that signs up its own users.

use crate::http::problem::Problem;
use crate::issuer::SignUpError;

impl From<SignUpError> for Problem {
    fn from(error: SignUpError) -> Self {
        match error {
            SignUpError::Username => Self::unacceptable_username(),
            SignUpError::Password(error) => error.into(),
            SignUpError::Taken => Self::username_taken(),
            SignUpError::Hashing(error) => error.into(),
            SignUpError::Store(error) => error.into(),
        }
    }
}
