/// Leaves out what a failure does not need: halves, then quarters and so on, as long as it still fails.
/// Returns what is left and how that fails.
pub fn shrink<T: Clone, W>(
    mut acts: Vec<T>,
    mut why: W,
    fails: impl Fn(&[T]) -> Option<W>,
) -> (Vec<T>, W) {
    let mut part = acts.len().div_ceil(2);
    while part > 0 {
        let mut start = 0;
        while start < acts.len() {
            let end = (start + part).min(acts.len());
            let without = [&acts[..start], &acts[end..]].concat();
            match fails(&without) {
                Some(still) => (acts, why) = (without, still),
                None => start = end,
            }
        }
        part /= 2;
    }
    (acts, why)
}

#[test]
fn what_is_left_is_needed() {
    let needs = |acts: &[u32]| (acts.contains(&17) && acts.contains(&90)).then_some("both");
    let (left, why) = shrink((0..100).collect(), "both", needs);
    assert_eq!((left, why), (vec![17, 90], "both"));
}
