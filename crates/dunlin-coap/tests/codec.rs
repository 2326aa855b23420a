//! The codec against itself and against another one.

use dunlin_coap::wire::datagram::{self, What};
use dunlin_coap::{Code, Message, MessageId, MessageType, OptionList, OptionNumber, Token, fuzz};
use proptest::collection::vec;
use proptest::prelude::*;

fn message_type() -> impl Strategy<Value = MessageType> {
    prop_oneof![
        Just(MessageType::Confirmable),
        Just(MessageType::NonConfirmable),
        Just(MessageType::Acknowledgement),
        Just(MessageType::Reset),
    ]
}

/// Numbers near the borders of the encoding and near the known ones.
fn option() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let number = prop_oneof![0u16..40, 250u16..300, any::<u16>()];
    let value = prop_oneof![vec(any::<u8>(), 0..20), vec(any::<u8>(), 260..280)];
    (number, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_is_decoded(
        message_type in message_type(),
        code in 1u8..,
        message_id: u16,
        token in vec(any::<u8>(), 0..=8),
        options in vec(option(), 0..12),
        payload in vec(any::<u8>(), 0..60),
    ) {
        let mut list = OptionList::new();
        for (number, value) in &options {
            list.push(OptionNumber(*number), value);
        }
        let message = Message {
            message_type,
            code: Code(code),
            message_id: MessageId(message_id),
            token: Token::new(&token).unwrap(),
            options: list.view(),
            payload: &payload,
        };
        let mut bytes = vec![];
        datagram::encode(&message, &mut bytes);
        prop_assert_eq!(datagram::decode(&bytes), Ok(message));
        let mut sorted = options.clone();
        sorted.sort_by_key(|(number, _)| *number);
        let read: Vec<_> =
            list.view().iter().map(|option| (option.number.0, option.value.to_vec())).collect();
        prop_assert_eq!(read, sorted);
        agree_with_coap_lite(&bytes);
    }

    #[test]
    fn properties_hold_for_any_bytes(bytes in vec(any::<u8>(), 0..120)) {
        fuzz::decode_message(&bytes);
        fuzz::decode_options(&bytes);
        agree_with_coap_lite(&bytes);
    }

    #[test]
    fn and_for_bytes_that_look_like_coap(
        first in 0x40u8..0x4f, code: u8, id: u16, rest in vec(prop_oneof![0u8..30, any::<u8>()], 0..60)
    ) {
        let mut bytes = vec![first, code, (id >> 8) as u8, id as u8];
        bytes.extend(rest);
        fuzz::decode_message(&bytes);
        agree_with_coap_lite(&bytes);
    }

    #[test]
    fn an_endpoint_survives_any_bytes(bytes in vec(any::<u8>(), 0..1500)) {
        fuzz::run_endpoint(&bytes);
    }

    #[test]
    fn an_endpoint_survives_a_life_with_messages(steps in vec(step(), 0..60), first: u8) {
        let mut bytes = vec![first];
        for (what, data) in steps {
            bytes.push(what);
            bytes.push(data.len() as u8);
            bytes.extend(data);
        }
        fuzz::run_endpoint(&bytes);
    }
}

/// A block option, mostly one of the first blocks of the least size.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let likely =
        (0u8..4, any::<bool>()).prop_map(|(number, more)| number << 4 | u8::from(more) << 3);
    prop_oneof![3 => likely, 1 => 0u8..64].prop_map(|value| vec![value])
}

/// A step of a life: mostly well-formed requests and answers with options the endpoint acts on.
fn step() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let option = prop_oneof![
        (Just(6u16), vec(0u8..3, 0..3)),
        (Just(23), block()),
        (Just(27), block()),
        (Just(4), vec(0u8..2, 1..2)),
        (Just(60), vec(0u8..2, 1..3)),
        (Just(11), Just(b"a".to_vec())),
    ];
    let code = prop_oneof![
        12 => 1u8..8,
        2 => Just(0x5f),
        1 => Just(0x45),
        1 => Just(0x44),
        1 => Just(0x8d),
        1 => Just(0),
    ];
    (
        any::<u8>(),
        code,
        0u16..60,
        vec(option, 0..4),
        prop_oneof![Just(16), 0usize..20],
    )
        .prop_map(|(what, code, id, options, payload)| {
            let mut list = OptionList::new();
            for (number, value) in options {
                list.push(OptionNumber(number), &value);
            }
            let payload = vec![b'p'; payload];
            let mut out = vec![];
            let message = Message {
                message_type: if what & 0x20 == 0 {
                    MessageType::Confirmable
                } else {
                    MessageType::NonConfirmable
                },
                code: Code(code),
                message_id: MessageId(id),
                token: Token::EMPTY,
                options: list.view(),
                payload: &payload,
            };
            datagram::encode(&message, &mut out);
            // An answer takes header and token from what was sent: code, then the rest.
            if matches!(what & 0x1f, 9..=16) {
                out.drain(..4);
                out.insert(0, if (1..8).contains(&code) { 0x45 } else { code });
            }
            out.truncate(79);
            (what, out)
        })
}

/// Both read the same message, or both refuse, but for what we are known to be stricter in.
fn agree_with_coap_lite(bytes: &[u8]) {
    let ours = datagram::decode(bytes);
    let theirs = coap_lite::Packet::from_bytes(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert_eq!(u8::from(theirs.header.code), ours.code.0);
            assert_eq!(theirs.header.message_id, ours.message_id.0);
            assert_eq!(theirs.get_token(), ours.token.as_bytes());
            assert_eq!(theirs.payload, ours.payload);
            let read: Vec<(u16, &[u8])> = ours
                .options
                .iter()
                .map(|option| (option.number.0, option.value))
                .collect();
            let other: Vec<(u16, &[u8])> = theirs
                .options()
                .flat_map(|(number, values)| values.iter().map(|v| (*number, v.as_slice())))
                .collect();
            assert_eq!(read, other, "{bytes:x?}");
        }
        (Err(_), Err(_)) => {}
        (Err(malformed), Ok(_)) => assert!(
            matches!(
                malformed.what,
                What::Version | What::EmptyMessageNotEmpty | What::EmptyPayload
            ),
            "only we refuse {bytes:x?}: {malformed}"
        ),
        (Ok(message), Err(error)) => panic!("only they refuse {message}: {error} {bytes:x?}"),
    }
}
