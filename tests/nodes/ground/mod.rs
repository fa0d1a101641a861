//! The ground itself: what happens to a database and to a wire does happen.

mod checker;
mod database;
mod load;
mod wire;
