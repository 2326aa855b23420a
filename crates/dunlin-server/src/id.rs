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

/// What the table says of what is no digit.
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

/// Every Update is found by this, so what we give out ourselves is read without a look at a table: the processor
/// does the same to many characters at once. The letters that people mistake for digits are left to the table.
fn parse(text: &[u8]) -> Option<u128> {
    const I: u8 = b'i' - b'a';
    const L: u8 = b'l' - b'a';
    const O: u8 = b'o' - b'a';
    const U: u8 = b'u' - b'a';
    let text: &[u8; ID_CHARACTERS] = text.try_into().ok()?;
    // Zeros in front, so that it is four words of eight digits.
    let mut digits = [b'0'; 32];
    digits[32 - ID_CHARACTERS..].copy_from_slice(text);
    let mut odd = false;
    for character in &mut digits {
        let number = character.wrapping_sub(b'0');
        let letter = (*character | 0x20).wrapping_sub(b'a');
        let left_out = [I, L, O, U].map(|out| u8::from(letter > out));
        let left_out = left_out[0] + left_out[1] + left_out[2] + left_out[3];
        let is_letter =
            (letter < 26) & (letter != I) & (letter != L) & (letter != O) & (letter != U);
        odd |= !((number < 10) | is_letter);
        *character = if number < 10 {
            number
        } else {
            letter.wrapping_add(10).wrapping_sub(left_out)
        };
    }
    if odd {
        return parse_by_table(text);
    }
    let (words, _) = digits.as_chunks::<8>();
    let bits = words
        .iter()
        .fold(0, |bits: u128, word| bits << 40 | u128::from(pack(*word)));
    // 130 bits do not fit.
    (digits[32 - ID_CHARACTERS] < 8).then_some(bits)
}

/// Eight digits of five bits, side by side.
fn pack(digits: [u8; 8]) -> u64 {
    let eight = u64::from_be_bytes(digits);
    let four = eight & 0x001f_001f_001f_001f | eight >> 3 & 0x03e0_03e0_03e0_03e0;
    let two = four & 0x0000_03ff_0000_03ff | four >> 6 & 0x000f_fc00_000f_fc00;
    two & 0x000f_ffff | two >> 12 & 0xff_fff0_0000
}

fn parse_by_table(text: &[u8; ID_CHARACTERS]) -> Option<u128> {
    if DIGITS[usize::from(text[0])] > 7 {
        return None;
    }
    text.iter().try_fold(0u128, |bits, character| {
        match DIGITS[usize::from(*character)] {
            NO_DIGIT => None,
            digit => Some(bits << 5 | u128::from(digit)),
        }
    })
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

        /// Both ways of reading say the same, of what is nearly an id, too.
        #[test]
        fn every_character_is_read_as_the_table_says(
            mut text in proptest::array::uniform26(proptest::sample::select(ALPHABET.as_slice())),
            changes in proptest::collection::vec((0..ID_CHARACTERS, any::<u8>()), 0..3),
        ) {
            for (at, character) in changes {
                text[at] = character;
            }
            prop_assert_eq!(parse(&text), parse_by_table(&text));
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
