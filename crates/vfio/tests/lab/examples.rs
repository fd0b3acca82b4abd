//! The examples of the crate, with both backends.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use passthru_lab::devices::{EDU, NVME, NVME_BYTES, NVME_SERIAL, nvme_contents};
use passthru_lab::run;

use crate::taken::take;

const BACKENDS: [&str; 2] = ["iommufd", "type1"];

/// Returns the command of an example, whose program is beside the folder of the test's program.
fn example(name: &str) -> Command {
    let program = env::current_exe().unwrap();
    let path: PathBuf = program
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples")
        .join(name);
    Command::new(path)
}

#[test]
fn edu_example_interrupts_and_copies_by_dma() {
    let _device = take(EDU);
    for backend in BACKENDS {
        let done = run(example("edu").args([EDU, "--backend", backend])).expect_success();
        assert!(done.stdout.starts_with(&format!("{backend}: ")), "{done}");
        for line in ["10! = 3628800, by MSI", "4096 bytes from IOVA"] {
            assert!(done.stdout.contains(line), "{done}");
        }
    }
}

#[test]
fn nvme_example_identifies_disk_and_reads_blocks() {
    let _device = take(NVME);
    let contents = nvme_contents();
    for backend in BACKENDS {
        let done = run(example("nvme").args([NVME, "--backend", backend])).expect_success();
        assert!(done.stdout.contains(NVME_SERIAL), "{done}");
        let last = contents.len() / 512 - 1;
        let raw = example("nvme")
            .args([
                NVME,
                "--backend",
                backend,
                "--raw",
                "--block",
                last.to_string().as_str(),
            ])
            .output()
            .unwrap();
        assert!(
            raw.status.success() && raw.stdout == contents[last * 512..],
            "{raw:?}"
        );
    }
}

#[test]
fn nvme_example_names_block_past_the_end() {
    let _device = take(NVME);
    let blocks = (NVME_BYTES / 512).to_string();
    let done = run(example("nvme").args([NVME, "--block", blocks.as_str()])).expect_failure();
    assert!(done.stderr.contains(&format!("block {blocks}")), "{done}");
}

#[test]
fn edu_example_refuses_other_device() {
    let _device = take(NVME);
    let done = run(example("edu").arg(NVME)).expect_failure();
    assert!(done.stderr.contains("this is not an edu device"), "{done}");
}
