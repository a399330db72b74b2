//! Tells the linker that Node will supply the Node-API symbols.

fn main() {
    napi_build::setup();
}
