//! I/O threads, limits and elements without effect.

use crate::common::{accepted, refused};
use crate::helpers::with;

#[test]
fn counted_iothreads_get_the_lowest_free_ids() {
    let domain = accepted(&with(
        "q35",
        "<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>",
    ));
    let ids: Vec<_> = domain
        .iothreadids
        .as_ref()
        .unwrap()
        .iothreads
        .iter()
        .map(|t| t.id)
        .collect();
    assert_eq!(ids, [2, 1, 3]);

    let counted = accepted(&with("q35", "<iothreads>2</iothreads>"));
    assert_eq!(counted.iothreadids.as_ref().unwrap().iothreads.len(), 2);
    assert!(!counted.format().contains("<iothreadids>"));
    assert_eq!(
        accepted(&with(
            "q35",
            "<iothreadids><iothread id='4'/></iothreadids>"
        ))
        .iothreads,
        Some(1)
    );
}

fn iothreadids(text: &str) -> String {
    with("q35", &format!("<iothreadids>{text}</iothreadids>"))
}

#[test]
fn contradictory_iothreads_are_refused() {
    refused(
        &iothreadids("<iothread id='1'/><iothread id='1'/>"),
        "iothread 1 is described twice",
        "<iothread",
    );
    refused(
        &iothreadids("<iothread id='0'/>"),
        "must be 1 or more",
        "<iothread",
    );
    let pool = "<iothread id='1' thread_pool_min='9' thread_pool_max='2'/>";
    refused(
        &iothreadids(pool),
        "more than 'thread_pool_max'",
        "<iothread",
    );
    let pin = with(
        "q35",
        "<cputune><iothreadpin iothread='1' cpuset='0'/></cputune>",
    );
    refused(&pin, "there is no such iothread", "<cputune");
    let many = with("q35", "<iothreads>4000000000</iothreads>");
    refused(&many, "asks for more than 65536 threads", "<iothreads");
    let twice = with(
        "q35",
        &format!(
            "<cputune>{}</cputune>",
            "<vcpupin vcpu='0' cpuset='1'/>".repeat(2)
        ),
    );
    refused(&twice, "<vcpupin vcpu='0'> appears twice", "<cputune");
}

fn cputune(text: &str) -> String {
    with("q35", &format!("<cputune>{text}</cputune>"))
}

#[test]
fn invalid_limits_are_refused_and_unlimited_ones_dropped() {
    accepted(&cputune(
        "<quota>-1</quota><period>100000</period><vcpupin vcpu='0' cpuset='1-2'/>",
    ));
    refused(
        &cputune("<quota>5</quota>"),
        "<quota> of <cputune> must be at least 1000",
        "<cputune",
    );
    refused(
        &cputune("<global_period>5</global_period>"),
        "from 1000 to 1000000",
        "<cputune",
    );
    refused(
        &cputune("<vcpupin vcpu='0'/>"),
        "needs the attribute 'cpuset'",
        "<vcpupin",
    );
    refused(
        &cputune("<vcpusched vcpus='0' scheduler='fifo'/>"),
        "need a 'priority'",
        "<vcpusched",
    );
    refused(
        &with("q35", "<resource><partition>x</partition></resource>"),
        "starts with '/'",
        "<resource",
    );
    let unlimited = "<memtune><hard_limit unit='KiB'>9007199254740991</hard_limit></memtune>";

    assert_eq!(accepted(&with("q35", unlimited)).memtune, None);
}

#[test]
fn elements_without_effect_are_noted_and_kept() {
    let xml = with(
        "q35",
        "<cputune><shares>9</shares></cputune><perf/><features><hap/></features>",
    );
    let domain = accepted(&xml);
    let notes = domain.notes();
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, element) in notes.iter().zip(["<cputune>", "<perf/>", "<hap/>"]) {
        let name = element.trim_matches(['<', '/', '>']);
        let message = format!("<{name}> has no effect");
        assert!(note.message.starts_with(&message), "{}", note.message);
        assert_eq!(&xml[note.span.clone().unwrap()], element);
    }

    assert!(domain.format().contains("<shares>9</shares>"));
}
