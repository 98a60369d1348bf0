//! `sqlx::migrate!` reads the migrations while it compiles; a new file must make it compile again.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=static");
    // A build from another folder, or without `.cargo`, would go unnoticed.
    println!("cargo::rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let flags = std::env::var("LIBSQLITE3_FLAGS").unwrap_or_default();
    if !flags.contains("-DHAVE_FDATASYNC=1") {
        println!(
            "cargo::warning=SQLite is compiled without the flags of .cargo/config.toml: each commit \
             is slower; build in Stipend's own folder"
        );
    }
}
