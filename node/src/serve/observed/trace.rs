//! W3C trace context, as the field `traceparent` of a request's header carries it.

use std::fmt;

const SAMPLED: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub id: u128,
    /// The span that the request is a part of.
    pub parent: u64,
    pub flags: u8,
}

impl Trace {
    /// None: it is empty, or none that the standard allows; such a request is treated as one without.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace = Self {
            id: hex(fields.next()?, 32)?,
            parent: hex(fields.next()?, 16)? as u64,
            flags: hex(fields.next()?, 2)? as u8,
        };
        // Versions to come may add fields; 255 is never one.
        let ends = fields.next().is_none() || version != 0;
        (ends && version != 0xff && trace.id != 0 && trace.parent != 0).then_some(trace)
    }

    pub fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// What goes on from here: `span` is the parent of what follows.
    pub fn within(self, span: u64) -> Self {
        Self {
            parent: span,
            ..self
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, parent, flags } = self;
        write!(out, "00-{id:032x}-{parent:016x}-{flags:02x}")
    }
}

/// `digits` of them, in small letters.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let all = text.len() == digits && text.bytes().all(fits);
    all.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_the_same() {
        let trace = Trace::parse(TEXT).unwrap();
        assert!(trace.is_sampled());
        assert_eq!(trace.to_string(), TEXT);
        let within = trace.within(1).to_string();
        assert_eq!(
            within,
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01"
        );
        assert!(
            !Trace::parse(&TEXT.replace("-01", "-00"))
                .unwrap()
                .is_sampled()
        );
    }

    #[test]
    fn a_later_version_may_say_more() {
        assert!(Trace::parse(&format!("01{}-more", &TEXT[2..])).is_some());
        assert_eq!(Trace::parse(&format!("{TEXT}-more")), None);
    }

    #[test]
    fn what_is_none_is_left_out() {
        for bad in [
            "",
            "00",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad:?}");
        }
    }
}
