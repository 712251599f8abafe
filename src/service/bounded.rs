//! Work on many things, so many at a time.

use tokio::task::JoinSet;

/// Does the same with each of these, in tasks of their own, of which there are never more than `most`.
pub(super) async fn each<T, F>(all: impl IntoIterator<Item = T>, most: usize, work: impl Fn(T) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut under_way = JoinSet::new();
    for one in all {
        if under_way.len() >= most {
            under_way.join_next().await;
        }
        under_way.spawn(work(one));
    }
    while under_way.join_next().await.is_some() {}
}
