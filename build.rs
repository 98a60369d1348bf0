//! `sqlx::migrate!` reads the migrations while it compiles; a new file must make it compile again.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=static");
}
