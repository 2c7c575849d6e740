//! The arithmetic of the scripts, beside that of wider integers.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::servers::shared_redis;

/// The sum of two numbers, and whether the first is less than the second.
fn sum_and_order(connection: &mut redis::Connection, a: i64, b: i64) -> (String, bool) {
    let exact = include_str!("../../../src/store/redis/exact.lua");
    let script = format!(
        "{exact} local a, b = parse(ARGV[1]), parse(ARGV[2]) \
         return {{ format(plus(a, b)), is_less(a, b) and 1 or 0 }}"
    );
    redis::cmd("EVAL").arg(script).arg(0).arg(a).arg(b).query(connection).unwrap()
}

#[test]
fn sums_and_comparisons_are_exact_in_all_of_64_bits() {
    let mut connection = shared_redis().connection();
    let billion = 1_000_000_000;
    let edges = [
        [0, 1, billion - 1, billion, billion + 1, 2 * billion].as_slice(),
        &[(1 << 53) - 1, 1 << 53, (1 << 53) + 1, 4_000_000_000_000_000_000, i64::MAX],
    ]
    .concat();
    let edges: Vec<i64> = edges.iter().flat_map(|edge| [*edge, -edge]).collect();
    let number = prop_oneof![prop::sample::select(edges), any::<i64>()];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let checked = TestRunner::new(config).run(&(number.clone(), number), |(a, b)| {
        let connection = &mut shared_redis().connection();
        let (sum, is_less) = sum_and_order(connection, a, b);
        prop_assert_eq!(sum, (i128::from(a) + i128::from(b)).to_string());
        prop_assert_eq!(is_less, a < b);
        Ok(())
    });
    checked.unwrap();
    for text in ["", "-", "1.0", "1e3", " 1", "0x1", "99999999999999999999"] {
        let exact = include_str!("../../../src/store/redis/exact.lua");
        let script = format!("{exact} return parse(ARGV[1]) and 1 or 0");
        let is_read: bool =
            redis::cmd("EVAL").arg(script).arg(0).arg(text).query(&mut connection).unwrap();
        assert!(!is_read, "{text:?}");
    }
}
