# The chores. `just` lists them.

_default:
    @just --list --unsorted

# everything that can fail, as the CI runs it
test *args:
    tests/run {{args}}

# what needs nothing but Rust
quick:
    tests/run --quick

# review changed snapshots
snapshots:
    cargo insta test --review

# format and mend what the lints can mend
fix:
    cargo clippy --all-targets --fix --allow-dirty --allow-staged
    cargo fmt

# the whole story on this machine, without GitHub, AWS or Docker
demo:
    cargo run --release -- demo

# the image of the server
image:
    docker build --tag greenroom .
