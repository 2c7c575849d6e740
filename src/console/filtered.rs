//! Lists that are filtered while they are read: a bounded part of the Store's list at a time. So a
//! page may have fewer items than requested and still a cursor.

use crate::store::{Page, PageRequest, StoreError};

/// How often the Store is read for one page.
const READS_MAX: usize = 12;
/// The fewest items that are read at a time, as filters often select few of them; and the most.
const READ: (usize, usize) = (200, 500);

/// A page of the items that are wanted, from a list that is read page by page.
pub(super) async fn page<T, F>(
    page: &PageRequest,
    read: impl Fn(PageRequest) -> F,
    is_wanted: impl Fn(&T) -> bool,
) -> Result<Page<T>, StoreError>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let mut items = Vec::new();
    let to_read = |room: usize| room.clamp(READ.0, READ.1);
    let mut from = PageRequest { after: page.after.clone(), limit: to_read(page.limit) };
    for _ in 0..READS_MAX {
        let found = read(from.clone()).await?;
        let room = page.limit - items.len();
        let wanted = found.items.iter().enumerate().filter(|(_, item)| is_wanted(item));
        let places: Vec<usize> = wanted.map(|(place, _)| place).collect();
        // If more are wanted than fit, the read is repeated so that it ends with the last one that
        // fits: then the cursor is right after it.
        if let Some(last) = room.checked_sub(1).and_then(|last| places.get(last))
            && places.len() > room
        {
            from.limit = last + 1;
            continue;
        }
        items.extend(found.items.into_iter().filter(&is_wanted));
        let next = found.next;
        if next.is_none() || items.len() == page.limit {
            return Ok(Page { items, next });
        }
        from = PageRequest { limit: to_read(page.limit - items.len()), after: next };
    }
    Ok(Page { items, next: from.after })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers from 1 to 3,000, by pages.
    async fn numbers(request: PageRequest) -> Result<Page<u32>, StoreError> {
        let after: u32 = request.after.as_deref().map_or(0, |after| after.parse().unwrap());
        let limit = u32::try_from(request.limit).unwrap();
        let last = after.saturating_add(limit).min(3000);
        let next = (last < 3000).then(|| last.to_string());
        Ok(Page { items: (after + 1..=last).collect(), next })
    }

    #[tokio::test]
    async fn every_wanted_item_is_on_one_page() {
        for (limit, step) in [(1, 1), (7, 3), (7, 500), (100, 2), (500, 1), (3, 2999)] {
            let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let request = PageRequest { after, limit };
                let found = page(&request, numbers, |number| number % step == 0).await.unwrap();
                assert!(found.items.len() <= limit);
                seen.extend(found.items);
                pages += 1;
                let Some(next) = found.next else { break };
                after = Some(next);
            }
            let all: Vec<u32> = (1..=3000).filter(|number| number % step == 0).collect();
            assert_eq!(seen, all, "{limit} {step}");
            assert!(pages >= all.len().div_ceil(limit));
        }
    }

    #[tokio::test]
    async fn one_page_reads_a_bounded_part_of_the_list() {
        let found = page(&PageRequest::first(1), numbers, |_| false).await.unwrap();
        assert_eq!((found.items.len(), found.next.as_deref()), (0, Some("2400")));
    }
}
