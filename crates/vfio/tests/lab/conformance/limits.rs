//! The limit on the number of mappings.

use std::fs;

use passthru_vfio::container::{Access, Backend};
use rustix::io::Errno;

use super::{PAGE, errno, map, memory, on_both_backends, with_edu};

const IOVA: u64 = 0x10_0000;
const LIMIT: &str = "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit";

on_both_backends! {
    mapping_count_is_limited_as_reported
}

/// Sets the limit to 5. A container keeps the limit that held when its first device was attached.
fn mapping_count_is_limited_as_reported(backend: Backend) {
    let former = fs::read_to_string(LIMIT).unwrap();
    fs::write(LIMIT, "5").unwrap();
    let setup = with_edu(backend);
    fs::write(LIMIT, &former).unwrap();
    let results: Vec<_> = (0..8)
        .map(|page| {
            map(
                &*setup.container,
                memory(1),
                IOVA + page * PAGE,
                Access::Read,
            )
        })
        .collect();
    match setup.container.capabilities().max_mappings {
        None => assert!(results.iter().all(Result::is_ok)),
        Some(limit) => {
            assert_eq!(limit, 5);
            assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5);
            let error = results[5].as_ref().unwrap_err();
            assert_eq!(errno(error), Some(Errno::NOSPC), "{error}");
            assert!(error.hint().unwrap().contains("65,535"));
        }
    }
}
