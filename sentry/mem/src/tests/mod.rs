//! Address spaces on a platform that only remembers, against plain models.

mod fake;
mod fork;
mod frames;
mod model;
mod rules;
mod users;
