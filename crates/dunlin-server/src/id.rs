//! Names that this Server gives: to registrations, to requests, and to the virtual shards they
//! live in.
//!
//! An id says where its owner is before anybody looks it up: 16 bits of node and 8 bits of virtual
//! shard come first. Written, it is 26 characters of Crockford's base 32. Of a registration the
//! other 104 bits are random: without security its location is the only secret that guards its
//! Update. Of a request they are its place in the order of requests, and 56 random bits.

use core::fmt;
use core::str::FromStr;

use rand_core::Rng;
use thiserror::Error;

/// How many virtual shards there are. Fixed for the life of a data folder, so that another number
/// of cores, or another node, moves whole virtual shards and renames nothing.
pub const VIRTUAL_SHARDS: usize = 256;

/// Characters of an id in its written form: 130 bits, of which the first two are zero.
pub const ID_CHARACTERS: usize = 26;

/// Crockford's alphabet: no I, L, O, U, so that nobody misreads an id on the telephone.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// One of the 256 virtual shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualShard(pub u8);

/// A set of virtual shards: what one [`crate::Server`] owns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VirtualShards([u64; VIRTUAL_SHARDS / 64]);

impl VirtualShards {
    /// All of them: the Server is alone.
    pub const ALL: Self = Self([u64::MAX; VIRTUAL_SHARDS / 64]);
    /// None of them.
    pub const NONE: Self = Self([0; VIRTUAL_SHARDS / 64]);

    /// The share of task `index` out of `tasks`: every `tasks`-th virtual shard, so that shares
    /// differ by at most one.
    ///
    /// # Panics
    /// When `tasks` is zero or `index` is not below it: the caller counts its tasks.
    #[must_use]
    pub fn share(index: usize, tasks: usize) -> Self {
        assert!(index < tasks, "task {index} of {tasks}");
        (index..VIRTUAL_SHARDS)
            .step_by(tasks)
            .fold(Self::NONE, |mut shards, shard| {
                shards.insert(VirtualShard(shard as u8));
                shards
            })
    }

    /// Adds one.
    pub fn insert(&mut self, shard: VirtualShard) {
        self.0[usize::from(shard.0) / 64] |= 1 << (shard.0 % 64);
    }

    /// Whether the shard is in the set.
    #[must_use]
    pub fn contains(&self, shard: VirtualShard) -> bool {
        self.0[usize::from(shard.0) / 64] & (1 << (shard.0 % 64)) != 0
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In rising order.
    pub fn iter(&self) -> impl Iterator<Item = VirtualShard> + '_ {
        (0..=u8::MAX)
            .map(VirtualShard)
            .filter(|shard| self.contains(*shard))
    }

    /// The shard a new registration takes: any of ours, evenly.
    pub(crate) fn choose(&self, random: &mut impl Rng) -> VirtualShard {
        let nth = random.next_u32() as usize % self.len();
        self.iter()
            .nth(nth)
            .expect("a Server owns at least one virtual shard")
    }
}

impl fmt::Debug for VirtualShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(|shard| shard.0))
            .finish()
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(u128);

        impl $name {
            /// From its 128 bits, as the store keeps them.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self(bits)
            }

            /// Its 128 bits.
            #[must_use]
            pub const fn to_bits(self) -> u128 {
                self.0
            }

            /// The node that gave it.
            #[must_use]
            pub const fn node(self) -> u16 {
                (self.0 >> 112) as u16
            }

            /// The virtual shard it lives in.
            #[must_use]
            pub const fn virtual_shard(self) -> VirtualShard {
                VirtualShard((self.0 >> 104) as u8)
            }

            fn at(node: u16, shard: VirtualShard, rest: u128) -> Self {
                let rest = rest & ((1 << 104) - 1);
                Self(u128::from(node) << 112 | u128::from(shard.0) << 104 | rest)
            }

            /// From its written form, which may come as bytes off the wire.
            #[must_use]
            pub fn parse(text: &[u8]) -> Option<Self> {
                parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text: [u8; ID_CHARACTERS] = core::array::from_fn(|at| {
                    ALPHABET[(self.0 >> (5 * (ID_CHARACTERS - 1 - at)) & 31) as usize]
                });
                f.write_str(core::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, NoId> {
                Self::parse(text.as_bytes()).ok_or(NoId)
            }
        }
    };
}

id! {
    /// A registration: the `{id}` of its location `/rd/{id}`.
    RegistrationId
}
id! {
    /// A request to a Client, from the command that made it to its outcome.
    RequestId
}

id! {
    /// A bootstrap run, from its Bootstrap-Request to its end.
    BootstrapRunId
}

impl RegistrationId {
    pub(crate) fn random(node: u16, shard: VirtualShard, random: &mut impl Rng) -> Self {
        let secret = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        Self::at(node, shard, secret)
    }
}

impl RequestId {
    /// `stamp` rises from request to request of a Server, and so tells their order: the time in
    /// milliseconds, or one more than the last one.
    pub(crate) fn stamped(
        node: u16,
        shard: VirtualShard,
        stamp: u64,
        random: &mut impl Rng,
    ) -> Self {
        Self::at(
            node,
            shard,
            u128::from(stamp) << STAMP_SHIFT | u128::from(random.next_u64() >> 8),
        )
    }

    /// What tells the order of requests.
    pub(crate) fn stamp(self) -> u64 {
        (self.0 >> STAMP_SHIFT) as u64 & ((1 << 48) - 1)
    }
}

impl BootstrapRunId {
    /// `stamp` is the time in milliseconds, or one more than the last one.
    pub(crate) fn stamped(
        node: u16,
        shard: VirtualShard,
        stamp: u64,
        random: &mut impl Rng,
    ) -> Self {
        Self::at(
            node,
            shard,
            u128::from(stamp) << STAMP_SHIFT | u128::from(random.next_u64() >> 8),
        )
    }
}

/// Random bits behind the stamp of a request: who knows one id does not know the next.
const STAMP_SHIFT: u32 = 56;

/// Text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an id has {ID_CHARACTERS} characters of Crockford's base 32, the first from 0 to 7")]
pub struct NoId;

/// Has bits that no digit has.
const NO_DIGIT: u8 = 0xff;

/// The value of each byte as a digit; both cases, and the letters people mistake for digits.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 32 {
        digits[ALPHABET[value] as usize] = value as u8;
        digits[ALPHABET[value].to_ascii_lowercase() as usize] = value as u8;
        value += 1;
    }
    digits[b'O' as usize] = 0;
    digits[b'o' as usize] = 0;
    digits[b'I' as usize] = 1;
    digits[b'i' as usize] = 1;
    digits[b'L' as usize] = 1;
    digits[b'l' as usize] = 1;
    digits
};

fn parse(text: &[u8]) -> Option<u128> {
    let text: &[u8; ID_CHARACTERS] = text.try_into().ok()?;
    let mut seen = 0;
    // In parts that fit a register: of the length of these all 26 are read without another question.
    let mut read = |part: &[u8]| {
        part.iter().fold(0u64, |bits, character| {
            let digit = DIGITS[usize::from(*character)];
            seen |= digit;
            bits << 5 | u64::from(digit & 31)
        })
    };
    let [high, middle, low] = [read(&text[..2]), read(&text[2..14]), read(&text[14..])];
    let bits = u128::from(high) << 120 | u128::from(middle) << 60 | u128::from(low);
    // 130 bits do not fit.
    (seen & !31 == 0 && DIGITS[usize::from(text[0])] < 8).then_some(bits)
}

/// As [`fmt::Display`] writes it, with six zeros in front: four words of eight characters, of which the processor makes
/// all at once.
fn spell(bits: u128) -> [u64; 4] {
    /// In each byte.
    const EACH: u64 = 0x0101_0101_0101_0101;
    let words = [bits >> 120, bits >> 80, bits >> 40, bits].map(|word| word as u64);
    words.map(|word| {
        // Forty bits, spread out to eight digits of five.
        let two = word & 0xf_ffff | (word & 0xff_fff0_0000) << 12;
        let four = two & 0x3ff_0000_03ff | (two & 0xf_fc00_000f_fc00) << 6;
        let eight = four & 0x001f_001f_001f_001f | (four & 0x03e0_03e0_03e0_03e0) << 3;
        let from = |digit: u64| (eight + EACH * (0x80 - digit)) >> 7 & EACH;
        // Letters begin after ten digits, and four of them are left out.
        eight + EACH * 0x30 + from(10) * 7 + from(18) + from(20) + from(22) + from(27)
    })
}

impl RegistrationId {
    /// Whether this is how the id is written, letter for letter as we write it. An Update is told by this, much
    /// sooner than by reading it.
    pub(crate) fn is_written(self, text: &[u8; ID_CHARACTERS]) -> bool {
        let mut padded = [b'0'; 32];
        padded[32 - ID_CHARACTERS..].copy_from_slice(text);
        let (words, _) = padded.as_chunks::<8>();
        let spelled = spell(self.0);
        let differs = words.iter().zip(spelled).fold(0, |differs, (word, own)| {
            differs | u64::from_be_bytes(*word) ^ own
        });
        differs == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    #[test]
    fn an_id_tells_its_node_and_its_shard() {
        let mut random = ChaCha12Rng::from_seed([7; 32]);
        let id = RegistrationId::random(0xbeef, VirtualShard(0x42), &mut random);
        assert_eq!(id.node(), 0xbeef);
        assert_eq!(id.virtual_shard(), VirtualShard(0x42));
        assert_ne!(
            id,
            RegistrationId::random(0xbeef, VirtualShard(0x42), &mut random)
        );
    }

    #[test]
    fn the_written_form_is_crockford_base_32() {
        assert_eq!(RegistrationId(0).to_string(), "00000000000000000000000000");
        assert_eq!(
            RegistrationId(u128::MAX).to_string(),
            "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
        );
        assert_eq!(RegistrationId(32).to_string(), "00000000000000000000000010");
        assert_eq!("0000000000000000000000001o".parse(), Ok(RegistrationId(32)));
        // 130 bits do not fit, and U is no digit.
        assert_eq!(
            "80000000000000000000000000".parse::<RegistrationId>(),
            Err(NoId)
        );
        assert_eq!(
            "0000000000000000000000000U".parse::<RegistrationId>(),
            Err(NoId)
        );
        assert_eq!("0".parse::<RegistrationId>(), Err(NoId));
    }

    #[test]
    fn shares_cover_all_virtual_shards_once() {
        for tasks in [1, 2, 3, 7, 256] {
            let shares: Vec<_> = (0..tasks)
                .map(|index| VirtualShards::share(index, tasks))
                .collect();
            for shard in (0..=u8::MAX).map(VirtualShard) {
                let owners = shares.iter().filter(|share| share.contains(shard)).count();
                assert_eq!(owners, 1, "{shard:?} of {tasks}");
            }
        }
        assert_eq!(VirtualShards::share(0, 1), VirtualShards::ALL);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bits: u128) {
            let id = RequestId::from_bits(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(id.to_string().to_lowercase().parse(), Ok(id));
        }

        /// What is written is what `Display` says, and nothing else is.
        #[test]
        fn an_id_is_told_by_its_letters(bits: u128, at in 0..ID_CHARACTERS, other: u8) {
            let id = RegistrationId(bits);
            let mut text: [u8; ID_CHARACTERS] = id.to_string().as_bytes().try_into().expect("26 characters");
            prop_assert!(id.is_written(&text));
            prop_assert!(!RegistrationId(bits ^ 1 << (at * 4)).is_written(&text));
            let before = std::mem::replace(&mut text[at], other);
            prop_assert_eq!(id.is_written(&text), before == other);
        }

        #[test]
        fn hostile_text_is_refused_or_names_an_id(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(id) = RegistrationId::parse(&text) {
                prop_assert_eq!(text.len(), ID_CHARACTERS);
                prop_assert_eq!(RegistrationId::parse(id.to_string().as_bytes()), Some(id));
            }
        }
    }
}
