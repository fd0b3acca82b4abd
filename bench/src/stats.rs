//! Medians, and measurement in turns.

use std::time::Duration;

/// Returns the endless order of `count` contestants, in rounds that begin with another one each
/// time.
pub(crate) fn order(count: usize) -> impl Iterator<Item = usize> {
    (0..).flat_map(move |round| (0..count).map(move |turn| (round + turn) % count))
}

/// Measures each of `count` contestants `rounds` times, in turns. Returns the seconds of each.
pub(crate) fn in_turns<E>(
    count: usize,
    rounds: usize,
    mut measure: impl FnMut(usize) -> Result<Duration, E>,
) -> Result<Vec<Vec<f64>>, E> {
    let mut times = vec![Vec::new(); count];
    for which in order(count).take(count * rounds) {
        times[which].push(measure(which)?.as_secs_f64());
    }
    Ok(times)
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        _ if sorted.is_empty() => f64::NAN,
        0 => (sorted[middle - 1] + sorted[middle]) / 2.0,
        _ => sorted[middle],
    }
}

/// Returns the median of the ratios of two contestants in the same turn.
pub(crate) fn ratio(of: &[f64], to: &[f64]) -> f64 {
    let ratios: Vec<_> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_does_not_depend_on_the_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn each_round_measures_all_and_rotates_the_first() {
        let mut order = Vec::new();
        let times = in_turns(2, 3, |which| {
            order.push(which);
            Ok::<_, ()>(Duration::from_secs(which as u64 + 1))
        });
        assert_eq!(times, Ok(vec![vec![1.0; 3], vec![2.0; 3]]));
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
        assert_eq!(ratio(&[2.0, 2.0, 9.0], &[1.0, 2.0, 3.0]), 2.0);
    }
}
