#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_fuzz::checks;

fuzz_target!(|data: &[u8]| {
    checks::page::check(data);
});
