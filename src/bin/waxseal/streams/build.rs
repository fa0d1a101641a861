//! Links `closed.c` into the `waxseal` command. The library is Rust alone and does not need it.

fn main() {
    println!("cargo::rerun-if-changed=src/bin/waxseal/streams/closed.c");
    #[cfg(feature = "server")]
    for object in cc::Build::new()
        .file("src/bin/waxseal/streams/closed.c")
        .compile_intermediates()
    {
        println!("cargo::rustc-link-arg-bin=waxseal={}", object.display());
    }
}
