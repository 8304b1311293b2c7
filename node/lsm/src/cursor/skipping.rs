use std::ops::Bound;

use super::Cursor;
use crate::error::Result;
use crate::range::Direction;
use crate::spans::Spans;
use crate::value::ValueRef;

/// Hidden keys that are stepped over before the cursor is opened again beyond them.
const STEPS: usize = 8;

/// The cursor that `open` gives, without the keys in `hidden`.
pub(crate) fn skipping(
    hidden: &Spans,
    direction: Direction,
    from: Bound<&[u8]>,
    open: impl Fn(Bound<&[u8]>) -> Box<dyn Cursor> + Send + 'static,
) -> Box<dyn Cursor> {
    let inner = open(from);
    if hidden.is_empty() {
        return inner;
    }
    Box::new(Skipping {
        inner,
        open: Box::new(open),
        hidden: hidden.clone(),
        direction,
        skipped: 0,
    })
}

type Open = dyn Fn(Bound<&[u8]>) -> Box<dyn Cursor> + Send;

struct Skipping {
    inner: Box<dyn Cursor>,
    /// A new inner cursor from there on.
    open: Box<Open>,
    hidden: Spans,
    direction: Direction,
    skipped: usize,
}

impl Cursor for Skipping {
    fn advance(&mut self) -> Result<bool> {
        while self.inner.advance()? {
            let Some(span) = self.hidden.find(self.inner.key()) else {
                self.skipped = 0;
                return Ok(true);
            };
            self.skipped += 1;
            if self.skipped == STEPS {
                self.skipped = 0;
                match span.far_end(self.direction) {
                    Some(from) => self.inner = (self.open)(from),
                    None => return Ok(false),
                }
            }
        }
        Ok(false)
    }

    fn key(&self) -> &[u8] {
        self.inner.key()
    }

    fn value(&self) -> ValueRef<'_> {
        self.inner.value()
    }
}
