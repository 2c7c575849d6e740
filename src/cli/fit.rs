//! Fits a table's columns to the width of a terminal: which are left out, and which are shortened.

/// The narrowest that a column of text is shortened to.
const TEXT_WIDTH_MIN: usize = 8;

/// What may be done to a column so that its table fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Its texts may be shortened. Ids, keys, times and numbers may not.
    pub(super) may_shorten: bool,
    /// Columns of a higher rank are left out first; 0 is never left out.
    pub(super) rank: u8,
}

/// Returns each column's width, or `None` if it is left out.
///
/// `needed` are the widths that the columns need, `gap` is the space between two of them. Columns
/// that must stay and are too wide together remain as wide as they are.
pub(super) fn widths(
    shapes: &[Shape],
    needed: &[usize],
    gap: usize,
    limit: Option<usize>,
) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = needed.iter().copied().map(Some).collect();
    let Some(limit) = limit else { return widths };
    let columns = || shapes.iter().enumerate();
    let narrowest = |width: usize, shape: &Shape| {
        if shape.may_shorten { width.min(TEXT_WIDTH_MIN) } else { width }
    };
    loop {
        let smallest: Vec<_> = shapes
            .iter()
            .zip(&widths)
            .map(|(shape, width)| width.map(|width| narrowest(width, shape)))
            .collect();
        if total(&smallest, gap) <= limit {
            break;
        }
        let shown = columns().filter(|(index, _)| matches!(widths.get(*index), Some(Some(_))));
        // Of equal ranks, the rightmost.
        let least = shown.filter(|(_, shape)| shape.rank > 0).max_by_key(|(_, shape)| shape.rank);
        let Some(width) = least.and_then(|(index, _)| widths.get_mut(index)) else { break };
        *width = None;
    }
    while total(&widths, gap) > limit {
        let texts = shapes.iter().zip(&mut widths).filter(|(shape, _)| shape.may_shorten);
        let widest = texts.filter_map(|(_, width)| width.as_mut()).max();
        match widest {
            Some(width) if *width > TEXT_WIDTH_MIN => *width -= 1,
            Some(_) | None => break,
        }
    }
    widths
}

/// The width of a row. A column without any text takes no space.
fn total(widths: &[Option<usize>], gap: usize) -> usize {
    let shown: Vec<usize> = widths.iter().flatten().copied().filter(|width| *width > 0).collect();
    shown.iter().sum::<usize>() + gap * shown.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Shape = Shape { may_shorten: false, rank: 0 };
    const TEXT: Shape = Shape { may_shorten: true, rank: 0 };

    const fn ranked(shape: Shape, rank: u8) -> Shape {
        Shape { rank, ..shape }
    }

    #[track_caller]
    fn check(columns: &[(Shape, usize)], limit: usize, expected: &[Option<usize>]) {
        let shapes: Vec<Shape> = columns.iter().map(|(shape, _)| *shape).collect();
        let needed: Vec<usize> = columns.iter().map(|(_, width)| *width).collect();
        assert_eq!(widths(&shapes, &needed, 2, Some(limit)), expected);
        let unlimited: Vec<_> = needed.iter().copied().map(Some).collect();
        assert_eq!(widths(&shapes, &needed, 2, None), unlimited);
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        check(&[(ID, 10), (TEXT, 20), (ranked(ID, 1), 5)], 39, &[Some(10), Some(20), Some(5)]);
        check(&[(ID, 10), (TEXT, 0)], 10, &[Some(10), Some(0)]);
        check(&[], 0, &[]);
    }

    #[test]
    fn texts_are_shortened_the_widest_first() {
        check(&[(ID, 10), (TEXT, 20), (TEXT, 12)], 34, &[Some(10), Some(10), Some(10)]);
        check(&[(ID, 10), (TEXT, 20), (TEXT, 9)], 36, &[Some(10), Some(13), Some(9)]);
    }

    #[test]
    fn columns_are_left_out_by_their_rank_once_shortening_is_not_enough() {
        let columns = [(ID, 10), (ranked(ID, 1), 6), (ranked(TEXT, 2), 20), (ranked(ID, 2), 6)];
        check(&columns, 36, &[Some(10), Some(6), Some(8), Some(6)]);
        check(&columns, 35, &[Some(10), Some(6), Some(15), None]);
        check(&columns, 20, &[Some(10), Some(6), None, None]);
        check(&columns, 17, &[Some(10), None, None, None]);
    }

    #[test]
    fn ids_are_never_shortened() {
        check(&[(ID, 36), (ID, 10), (ranked(ID, 1), 3)], 20, &[Some(36), Some(10), None]);
        check(&[(ID, 36), (TEXT, 20)], 20, &[Some(36), Some(8)]);
    }
}
