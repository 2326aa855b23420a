//! The example Client of the standard (TS Annex F), from its Register to values with names: the
//! public surface as a Server and a Client use it, without the network between them.

use dunlin_lwm2m::attribute::{Attributes, AttributesChange};
use dunlin_lwm2m::format;
use dunlin_lwm2m::link::{Discovered, DiscoveredLink, ObjectLinks};
use dunlin_lwm2m::operation::{Binding, Register, Strictness, Update};
use dunlin_lwm2m::{
    ContentFormat, Deviation, Deviations, EndpointName, Instance, Level, LwM2mVersion, Node,
    ObjectId, Path, Registry, Resource, Value,
};

fn example_client() -> Register {
    let links = [
        (1, 0),
        (1, 1),
        (2, 0),
        (2, 1),
        (2, 2),
        (2, 3),
        (2, 4),
        (3, 0),
        (4, 0),
    ];
    let links = links
        .into_iter()
        .fold(
            ObjectLinks::builder(),
            |builder, (object, instance): (u16, u16)| builder.instance(object, instance),
        )
        .object(5);
    Register {
        endpoint: EndpointName::new("example-client").unwrap(),
        lifetime_s: 86_400,
        version: LwM2mVersion::V1_0,
        binding: Binding::U,
        sms_number: None,
        links: links.build(),
        parameters: Vec::new(),
        deviations: Deviations::NONE,
    }
}

#[test]
fn ts_annex_f_the_example_client_registers() {
    let sent = example_client();
    assert_eq!(
        String::from_utf8(sent.payload()).unwrap(),
        "</1/0>,</1/1>,</2/0>,</2/1>,</2/2>,</2/3>,</2/4>,</3/0>,</4/0>,</5>"
    );
    let queries = sent.queries();
    let received = Register::parse(
        queries.iter().map(String::as_str),
        Some(ContentFormat::LINK),
        &sent.payload(),
        Strictness::Strict,
    );
    assert_eq!(received, Ok(sent));
}

#[test]
fn ts_5_4_1_what_is_read_has_the_types_of_the_version_that_was_registered() {
    let registry = Registry::bundled();
    let register = example_client();
    let model = registry.model(&register.links, register.version);
    let path = Path::from([3, 0]);
    let device = Node::Instance(
        Instance::new(0)
            .with(Resource::single(
                0,
                Value::String("Open Mobile Alliance".into()),
            ))
            .with(Resource::single(9, Value::Integer(100))),
    );
    let payload = format::encode(ContentFormat::TLV, path, &device).unwrap();
    let read = format::decode(Some(ContentFormat::TLV), path, &payload, &model).unwrap();
    let lines: Vec<String> = read
        .node
        .labelled(path, &model)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "/3/0/0 Manufacturer: Open Mobile Alliance",
            "/3/0/9 Battery Level: 100 %",
        ]
    );
}

#[test]
fn quirks_42_a_resource_of_a_higher_minor_version_is_known() {
    let registry = Registry::bundled();
    let links = ObjectLinks::parse(b"</1/0>,</3/0>,</3303/0>")
        .unwrap()
        .links;
    let model = registry.model(&links, LwM2mVersion::V1_0);
    // 3303 of version 1.0 has no time stamp; 1.1 has.
    assert!(
        model
            .object(ObjectId(3303))
            .unwrap()
            .resource(5518)
            .is_none()
    );
    assert_eq!(
        model
            .resource_at(&Path::from([3303, 0, 5518]))
            .unwrap()
            .name,
        "Timestamp"
    );
}

#[test]
fn ts_5_4_2_attributes_that_were_written_are_discovered() {
    let at_object = AttributesChange::parse(["pmin=10"]).unwrap();
    let at_instance = AttributesChange::parse(["pmax=60"]).unwrap();
    let at_resource = AttributesChange::parse(["gt=50", "lt=42.2"]).unwrap();
    assert_eq!(at_resource.check_level(Level::Resource), Ok(()));
    let in_force = at_resource
        .apply_to(Attributes::NONE)
        .over(at_instance.apply_to(Attributes::NONE))
        .over(at_object.apply_to(Attributes::NONE));
    assert_eq!(in_force.check(), Ok(()));
    let answer = Discovered {
        links: vec![DiscoveredLink {
            dimension: Some(8),
            attributes: in_force,
            ..DiscoveredLink::new(Path::from([3, 0, 7]))
        }],
        ..Discovered::default()
    };
    let payload = answer.write("");
    assert_eq!(payload, "</3/0/7>;dim=8;pmin=10;pmax=60;gt=50;lt=42.2");
    assert_eq!(Discovered::parse(payload.as_bytes(), "").unwrap(), answer);
}

#[test]
fn ts_5_3_2_an_update_brings_a_new_list_under_the_old_root() {
    let before =
        ObjectLinks::parse(b"</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>,</lwm2m/3303/0>")
            .unwrap();
    assert_eq!(before.deviations, Deviations::NONE);
    let update = Update::parse(
        "5a3f",
        [],
        Some(ContentFormat::LINK),
        b"</lwm2m/1/0>,</lwm2m/3/0>,</lwm2m/3303/0>,</lwm2m/3303/1>",
        Strictness::Lenient,
    )
    .unwrap();
    // Without its declaration the prefix is inferred, and noted.
    assert_eq!(update.deviations, Deviation::RootInferred.into());
    let after = update.links_after(&before.links).unwrap();
    assert_eq!(after.root(), "/lwm2m");
    assert!(after.contains(&Path::from([3303, 1])));
    assert!(!before.links.contains(&Path::from([3303, 1])));
    // What a store keeps is what was there.
    assert_eq!(ObjectLinks::decode(after.encode()), Ok(after));
}
