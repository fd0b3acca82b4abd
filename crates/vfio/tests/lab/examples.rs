//! The examples do what they say, with both backends.

use crate::taken::take;
use passthru_lab::run;
use std::env;
use std::path::PathBuf;
use std::process::Command;

const BACKENDS: [&str; 2] = ["iommufd", "type1"];

/// An example, which stands beside the folder of the tests' programs.
fn example(name: &str) -> Command {
    let program = env::current_exe().unwrap();
    let path: PathBuf = program.ancestors().nth(2).unwrap().join("examples").join(name);
    Command::new(path)
}

#[test]
fn edu_answers_interrupts_and_copies_by_dma() {
    let device = take(passthru_lab::devices::EDU);
    for backend in BACKENDS {
        let done = run(example("edu").args([&device.address, "--backend", backend])).expect_success();
        assert!(done.stdout.starts_with(&format!("{backend}: ")), "{done}");
        for line in ["10! = 3628800, by MSI", "4096 bytes from IOVA"] {
            assert!(done.stdout.contains(line), "{done}");
        }
    }
}

#[test]
fn nvme_says_which_disk_it_is_and_reads_blocks() {
    let device = take(passthru_lab::devices::NVME);
    let contents = passthru_lab::devices::nvme_contents();
    for backend in BACKENDS {
        let done = run(example("nvme").args([&device.address, "--backend", backend])).expect_success();
        assert!(done.stdout.contains(passthru_lab::devices::NVME_SERIAL), "{done}");
        let last = contents.len() / 512 - 1;
        let raw = example("nvme")
            .args([&device.address, "--backend", backend, "--raw", "--block", &last.to_string()])
            .output()
            .unwrap();
        assert!(raw.status.success() && raw.stdout == contents[last * 512..], "{raw:?}");
    }
}

#[test]
fn nvme_names_a_block_past_the_end() {
    let device = take(passthru_lab::devices::NVME);
    let blocks = (passthru_lab::devices::NVME_BYTES / 512).to_string();
    let done = run(example("nvme").args([&device.address, "--block", &blocks])).expect_failure();
    assert!(done.stderr.contains(&format!("block {blocks}")), "{done}");
}

#[test]
fn a_device_that_is_no_edu_is_left_alone() {
    let device = take(passthru_lab::devices::NVME);
    let done = run(example("edu").arg(&device.address)).expect_failure();
    assert!(done.stderr.contains("this is no edu"), "{done}");
}
