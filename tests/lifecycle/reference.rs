//! The rules of sessions in a few lines, without any storage.

use crate::fixture::Carrier::Cookie;
use crate::fixture::Event::{self, Logout, Password, Renew, Visit};
use crate::fixture::State;

/// The timeouts, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub idle: i64,
    pub absolute: i64,
    pub renewal: i64,
    pub touch: i64,
    pub grace: i64,
    pub leeway: i64,
}

/// The content of a token. Times are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub session: usize,
    pub generation: u32,
    pub issued: i64,
    pub idle: i64,
    pub renew: i64,
    pub end: i64,
}

impl Token {
    pub fn state(self) -> State {
        State(self.generation, self.idle, self.renew, self.end)
    }
}

/// The state that the service keeps of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    pub generation: u32,
    pub renew: i64,
    /// In milliseconds.
    pub grace_until: i64,
    pub over: bool,
    /// A password change ended every generation before this one.
    pub raised: u32,
}

/// The outcome of presenting a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Dead,
    Superseded,
    Kept,
    /// Past the idle deadline and within the leeway: the token is accepted but not exchanged.
    AtItsEnd,
    Touched(Token),
    Renewed(Token),
}

/// The reference model.
#[derive(Debug)]
pub struct Model {
    pub limits: Limits,
    /// The latest time that the clock ever showed, in milliseconds: what was over then stays over.
    pub shown: i64,
    pub sessions: Vec<Session>,
}

impl Model {
    /// Returns the latest shown time in whole seconds.
    pub fn now(&self) -> i64 {
        self.shown.div_euclid(1000)
    }

    pub fn begin(&mut self) -> Token {
        let Limits {
            idle,
            absolute,
            renewal,
            ..
        } = self.limits;
        let issued = self.now();
        let end = issued + absolute;
        let (idle, renew) = (end.min(issued + idle), issued + renewal);
        self.sessions.push(Session {
            renew,
            ..Session::default()
        });
        Token {
            session: self.sessions.len() - 1,
            generation: 0,
            issued,
            idle,
            renew,
            end,
        }
    }

    /// Ends all other sessions, and raises this one to a generation in which only the new token is valid.
    fn change_password(&mut self, token: Token) -> Said {
        let (limits, now) = (self.limits, self.now());
        if now >= token.idle {
            return Said::AtItsEnd;
        }
        for (other, session) in self.sessions.iter_mut().enumerate() {
            session.over |= other != token.session;
        }
        let session = &mut self.sessions[token.session];
        session.generation += 1;
        session.renew = now + limits.renewal;
        session.raised = session.generation;
        session.grace_until = 0;
        Said::Renewed(Token {
            generation: session.generation,
            renew: session.renew,
            issued: now,
            idle: token.end.min(now + limits.idle),
            ..token
        })
    }

    pub fn present(&mut self, token: Token, event: Event) -> Said {
        let (limits, now) = (self.limits, self.now());
        let session = &mut self.sessions[token.session];
        if session.over || now >= token.idle + limits.leeway {
            return Said::Dead;
        }
        let behind = session.generation.saturating_sub(token.generation);
        if behind > 1 || (behind == 1 && self.shown >= session.grace_until) {
            // A password change by cookie is activity too.
            let exchanged = matches!(event, Visit | Renew(_) | Logout(Cookie) | Password(Cookie));
            let stolen = exchanged && token.generation >= session.raised;
            session.over = stolen && now < token.idle;
            return Said::Superseded;
        }
        if let Password(_) = event {
            return self.change_password(token);
        }
        session.over = matches!(event, Logout(_));
        if !matches!(event, Visit | Renew(_)) {
            return Said::Kept;
        }
        let (issued, idle) = (now, token.end.min(now + limits.idle));
        let touchable = matches!(event, Renew(_)) || now >= token.issued + limits.touch;
        if now >= token.idle {
            Said::AtItsEnd
        } else if now >= token.renew {
            if behind == 0 {
                session.generation += 1;
                session.renew = now + limits.renewal;
                session.grace_until = self.shown + limits.grace * 1000;
            }
            let Session {
                generation, renew, ..
            } = *session;
            Said::Renewed(Token {
                generation,
                renew,
                issued,
                idle,
                ..token
            })
        } else if behind == 0 && now + limits.grace < token.renew && touchable && idle > token.idle
        {
            Said::Touched(Token {
                issued,
                idle,
                ..token
            })
        } else {
            Said::Kept
        }
    }
}
