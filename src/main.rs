//! ai-friend.
fn main() {}
