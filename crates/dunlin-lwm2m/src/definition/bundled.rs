//! The bundled definitions as tables. Generated from `objects/*.xml` by the test `bundled`; run it
//! with `DUNLIN_BLESS=1` after a change there.

use alloc::borrow::Cow;

use super::{ObjectDefinition, Operations, ResourceDefinition};
use crate::id::{ObjectId, ResourceId};
use crate::value::ValueType;
use crate::version::{LwM2mVersion, ObjectVersion};

/// Every bundled definition, by id and version.
#[rustfmt::skip]
pub static BUNDLED: &[&ObjectDefinition] = &[
    &OBJECT_0_V1_0,
    &OBJECT_1_V1_0,
    &OBJECT_2_V1_0,
    &OBJECT_3_V1_0,
    &OBJECT_4_V1_0,
    &OBJECT_5_V1_0,
    &OBJECT_6_V1_0,
    &OBJECT_7_V1_0,
    &OBJECT_19_V1_0,
    &OBJECT_3300_V1_0,
    &OBJECT_3300_V1_1,
    &OBJECT_3303_V1_0,
    &OBJECT_3303_V1_1,
    &OBJECT_3304_V1_0,
    &OBJECT_3304_V1_1,
    &OBJECT_3311_V1_0,
    &OBJECT_3342_V1_0,
    &OBJECT_3342_V1_1,
    &OBJECT_3347_V1_0,
    &OBJECT_3347_V1_1,
];

/// One row of the tables below.
#[expect(
    clippy::too_many_arguments,
    reason = "a row has as many columns as the standard's template"
)]
const fn row(
    id: u16,
    name: &'static str,
    operations: Operations,
    multiple: bool,
    mandatory: bool,
    value_type: ValueType,
    range_text: &'static str,
    units: &'static str,
    description: &'static str,
) -> ResourceDefinition {
    ResourceDefinition {
        id: ResourceId(id),
        name: Cow::Borrowed(name),
        operations,
        multiple,
        mandatory,
        value_type,
        range_text: Cow::Borrowed(range_text),
        units: Cow::Borrowed(units),
        description: Cow::Borrowed(description),
    }
}

#[rustfmt::skip]
static RESOURCES_0_V1_0: &[ResourceDefinition] = &[
    row(0, "LWM2M Server URI", Operations::NONE, false, true, ValueType::String, "0..255 bytes", "", "Where the Server or Bootstrap-Server is, as coap or coaps URI."),
    row(1, "Bootstrap-Server", Operations::NONE, false, true, ValueType::Boolean, "", "", "True if this account is that of the Bootstrap-Server."),
    row(2, "Security Mode", Operations::NONE, false, true, ValueType::Integer, "0..4", "", "0 pre-shared key, 1 raw public key, 2 certificate, 3 none, 4 certificate by enrolment."),
    row(3, "Public Key or Identity", Operations::NONE, false, true, ValueType::Opaque, "", "", "Identity of the pre-shared key, or the Client's own public key or certificate."),
    row(4, "Server Public Key", Operations::NONE, false, true, ValueType::Opaque, "", "", "The public key or certificate that the Server must show."),
    row(5, "Secret Key", Operations::NONE, false, true, ValueType::Opaque, "", "", "The pre-shared key, or the Client's own private key. Never readable."),
    row(6, "SMS Security Mode", Operations::NONE, false, false, ValueType::Integer, "0..255", "", "1 DTLS, 2 secured packets of the smartcard, 3 none; from 204 on vendors' own."),
    row(7, "SMS Binding Key Parameters", Operations::NONE, false, false, ValueType::Opaque, "6 bytes", "", "Key identifiers and parameters of secured packets: KIc, KID, SPI, TAR."),
    row(8, "SMS Binding Secret Key(s)", Operations::NONE, false, false, ValueType::Opaque, "16-32-48 bytes", "", "Keys for secured packets. Never readable."),
    row(9, "LWM2M Server SMS Number", Operations::NONE, false, false, ValueType::String, "", "", "Telephone number of the Server; messages from others are ignored."),
    row(10, "Short Server ID", Operations::NONE, false, false, ValueType::Integer, "1..65534", "", "Links this account to its Server instance. Not for the Bootstrap-Server."),
    row(11, "Client Hold Off Time", Operations::NONE, false, false, ValueType::Integer, "", "s", "How long to wait before the Client starts a bootstrap by itself."),
    row(12, "Bootstrap-Server Account Timeout", Operations::NONE, false, false, ValueType::Integer, "", "s", "The account of the Bootstrap-Server is deleted so long after success; 0 keeps it."),
];

static OBJECT_0_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(0),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("LWM2M Security"),
    description: Cow::Borrowed("How to reach one Server or Bootstrap-Server, and the keys for it."),
    multiple: true,
    mandatory: true,
    resources: Cow::Borrowed(RESOURCES_0_V1_0),
};

#[rustfmt::skip]
static RESOURCES_1_V1_0: &[ResourceDefinition] = &[
    row(0, "Short Server ID", Operations::R, false, true, ValueType::Integer, "1..65535", "", "Links this instance to its Security instance."),
    row(1, "Lifetime", Operations::RW, false, true, ValueType::Integer, "", "s", "How long a registration holds without an Update."),
    row(2, "Default Minimum Period", Operations::RW, false, false, ValueType::Integer, "", "s", "Minimum period of observations that set none; 0 if absent."),
    row(3, "Default Maximum Period", Operations::RW, false, false, ValueType::Integer, "", "s", "Maximum period of observations that set none; none if absent."),
    row(4, "Disable", Operations::E, false, false, ValueType::None, "", "", "The Client leaves this Server and stays away until the timeout."),
    row(5, "Disable Timeout", Operations::RW, false, false, ValueType::Integer, "", "s", "How long Disable lasts; a day if absent."),
    row(6, "Notification Storing When Disabled or Offline", Operations::RW, false, true, ValueType::Boolean, "", "", "True: notifications are kept while the Server cannot be reached, and sent later."),
    row(7, "Binding", Operations::RW, false, true, ValueType::String, "U, UQ, S, SQ, US, UQS", "", "How the Client is to be reached."),
    row(8, "Registration Update Trigger", Operations::E, false, true, ValueType::None, "", "", "The Client sends an Update at once."),
];

static OBJECT_1_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(1),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("LwM2M Server"),
    description: Cow::Borrowed(
        "What a Client needs to know of one Server besides its address and keys.",
    ),
    multiple: true,
    mandatory: true,
    resources: Cow::Borrowed(RESOURCES_1_V1_0),
};

#[rustfmt::skip]
static RESOURCES_2_V1_0: &[ResourceDefinition] = &[
    row(0, "Object ID", Operations::R, false, true, ValueType::Integer, "1..65534", "", "The Object that is protected."),
    row(1, "Object Instance ID", Operations::R, false, true, ValueType::Integer, "0..65535", "", "The instance that is protected; 65535 stands for creating instances."),
    row(2, "ACL", Operations::RW, true, false, ValueType::Integer, "0..65535", "", "Rights of the Server whose short ID is the instance, 0 for all others: 1 read, 2 write, 4 execute, 8 delete, 16 create."),
    row(3, "Access Control Owner", Operations::RW, false, true, ValueType::Integer, "0..65535", "", "Short ID of the Server that may change these rights; 65535 if only a bootstrap may."),
];

static OBJECT_2_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(2),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("LwM2M Access Control"),
    description: Cow::Borrowed(
        "Which Server may do what with one Object Instance, or create instances of one Object.",
    ),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_2_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3_V1_0: &[ResourceDefinition] = &[
    row(0, "Manufacturer", Operations::R, false, false, ValueType::String, "", "", "Who made it."),
    row(1, "Model Number", Operations::R, false, false, ValueType::String, "", "", "What the maker calls it."),
    row(2, "Serial Number", Operations::R, false, false, ValueType::String, "", "", "Which one it is."),
    row(3, "Firmware Version", Operations::R, false, false, ValueType::String, "", "", "Version of its firmware."),
    row(4, "Reboot", Operations::E, false, true, ValueType::None, "", "", "Starts it anew."),
    row(5, "Factory Reset", Operations::E, false, false, ValueType::None, "", "", "Puts it back into the state of first deployment."),
    row(6, "Available Power Sources", Operations::R, true, false, ValueType::Integer, "0..7", "", "0 DC, 1 internal battery, 2 external battery, 4 Ethernet, 5 USB, 6 mains, 7 solar."),
    row(7, "Power Source Voltage", Operations::R, true, false, ValueType::Integer, "", "mV", "Voltage of each power source, under the same instances."),
    row(8, "Power Source Current", Operations::R, true, false, ValueType::Integer, "", "mA", "Current of each power source, under the same instances."),
    row(9, "Battery Level", Operations::R, false, false, ValueType::Integer, "0..100", "%", "Charge of the internal battery."),
    row(10, "Memory Free", Operations::R, false, false, ValueType::Integer, "", "KB", "Free storage for data and software."),
    row(11, "Error Code", Operations::R, true, true, ValueType::Integer, "0..8", "", "0 none, 1 battery low, 2 external supply off, 3 positioning failed, 4 weak signal, 5 out of memory, 6 SMS failed, 7 no IP connectivity, 8 peripheral fault."),
    row(12, "Reset Error Code", Operations::E, false, false, ValueType::None, "", "", "Forgets all errors and looks for them anew."),
    row(13, "Current Time", Operations::RW, false, false, ValueType::Time, "", "", "Its clock."),
    row(14, "UTC Offset", Operations::RW, false, false, ValueType::String, "", "", "Offset of its local time, such as +02:00."),
    row(15, "Timezone", Operations::RW, false, false, ValueType::String, "", "", "Its time zone by the name of the IANA database."),
    row(16, "Supported Binding and Modes", Operations::R, false, true, ValueType::String, "", "", "The bindings it can have."),
    row(17, "Device Type", Operations::R, false, false, ValueType::String, "", "", "The maker's class of such things."),
    row(18, "Hardware Version", Operations::R, false, false, ValueType::String, "", "", "Version of its hardware."),
    row(19, "Software Version", Operations::R, false, false, ValueType::String, "", "", "Version of the software above its firmware."),
    row(20, "Battery Status", Operations::R, false, false, ValueType::Integer, "0..6", "", "0 normal, 1 charging, 2 charged, 3 damaged, 4 low, 5 not installed, 6 unknown."),
    row(21, "Memory Total", Operations::R, false, false, ValueType::Integer, "", "KB", "All its storage for data and software."),
    row(22, "ExtDevInfo", Operations::R, true, false, ValueType::ObjectLink, "", "", "Instances of other Objects that tell more of it."),
];

static OBJECT_3_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Device"),
    description: Cow::Borrowed(
        "The thing itself: who made it, what drives it, what is wrong with it.",
    ),
    multiple: false,
    mandatory: true,
    resources: Cow::Borrowed(RESOURCES_3_V1_0),
};

#[rustfmt::skip]
static RESOURCES_4_V1_0: &[ResourceDefinition] = &[
    row(0, "Network Bearer", Operations::R, false, true, ValueType::Integer, "0..50", "", "The bearer in use: 0 GSM, 2 WCDMA, 5 and 6 LTE, 7 NB-IoT, 21 WLAN, 22 Bluetooth, 23 IEEE 802.15.4, 41 Ethernet, 42 DSL, 43 power line."),
    row(1, "Available Network Bearer", Operations::R, true, true, ValueType::Integer, "0..50", "", "The bearers that could be used."),
    row(2, "Radio Signal Strength", Operations::R, false, true, ValueType::Integer, "", "dBm", "Mean strength of the received signal."),
    row(3, "Link Quality", Operations::R, false, false, ValueType::Integer, "", "", "Quality in the measure of the bearer."),
    row(4, "IP Addresses", Operations::R, true, true, ValueType::String, "", "", "Addresses of the Client."),
    row(5, "Router IP Addresses", Operations::R, true, false, ValueType::String, "", "", "The next hop of each address, under the same instances."),
    row(6, "Link Utilization", Operations::R, false, false, ValueType::Integer, "0..100", "%", "Mean use of the link to the next hop."),
    row(7, "APN", Operations::R, true, false, ValueType::String, "", "", "Access points of a cellular bearer."),
    row(8, "Cell ID", Operations::R, false, false, ValueType::Integer, "0..268435455", "", "The cell that serves it."),
    row(9, "SMNC", Operations::R, false, false, ValueType::Integer, "0..999", "", "Network code of the cell."),
    row(10, "SMCC", Operations::R, false, false, ValueType::Integer, "0..999", "", "Country code of the cell."),
];

static OBJECT_4_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(4),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Connectivity Monitoring"),
    description: Cow::Borrowed("How the Client is connected: bearer, signal, addresses."),
    multiple: false,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_4_V1_0),
};

#[rustfmt::skip]
static RESOURCES_5_V1_0: &[ResourceDefinition] = &[
    row(0, "Package", Operations::W, false, true, ValueType::Opaque, "", "", "The image, when it is brought. A single zero byte gives up."),
    row(1, "Package URI", Operations::RW, false, true, ValueType::String, "0..255 bytes", "", "Where the Client fetches the image. An empty text gives up."),
    row(2, "Update", Operations::E, false, true, ValueType::None, "", "", "Installs what was downloaded."),
    row(3, "State", Operations::R, false, true, ValueType::Integer, "0..3", "", "0 idle, 1 downloading, 2 downloaded, 3 updating."),
    row(5, "Update Result", Operations::R, false, true, ValueType::Integer, "0..9", "", "0 none yet, 1 success, 2 no flash, 3 no memory, 4 connection lost, 5 integrity, 6 wrong type, 7 bad URI, 8 update failed, 9 protocol not supported."),
    row(6, "PkgName", Operations::R, false, false, ValueType::String, "0..255 bytes", "", "Name of the package."),
    row(7, "PkgVersion", Operations::R, false, false, ValueType::String, "0..255 bytes", "", "Version of the package."),
    row(8, "Firmware Update Protocol Support", Operations::R, true, false, ValueType::Integer, "0..3", "", "0 CoAP, 1 CoAPS, 2 HTTP, 3 HTTPS."),
    row(9, "Firmware Update Delivery Method", Operations::R, false, true, ValueType::Integer, "0..2", "", "0 fetched, 1 brought, 2 both."),
];

static OBJECT_5_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(5),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Firmware Update"),
    description: Cow::Borrowed("New firmware, brought or fetched, and how it goes."),
    multiple: false,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_5_V1_0),
};

#[rustfmt::skip]
static RESOURCES_6_V1_0: &[ResourceDefinition] = &[
    row(0, "Latitude", Operations::R, false, true, ValueType::Float, "", "Deg", "Degrees to the north."),
    row(1, "Longitude", Operations::R, false, true, ValueType::Float, "", "Deg", "Degrees to the east."),
    row(2, "Altitude", Operations::R, false, false, ValueType::Float, "", "m", "Height above the sea."),
    row(3, "Radius", Operations::R, false, false, ValueType::Float, "", "m", "It is within so far of the place, almost certainly."),
    row(4, "Velocity", Operations::R, false, false, ValueType::Opaque, "", "", "Velocity in the coding of cellular networks (GAD)."),
    row(5, "Timestamp", Operations::R, false, true, ValueType::Time, "", "", "When it was there."),
    row(6, "Speed", Operations::R, false, false, ValueType::Float, "", "m/s", "How fast it moves."),
];

static OBJECT_6_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(6),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Location"),
    description: Cow::Borrowed("Where the thing is, in WGS 84."),
    multiple: false,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_6_V1_0),
};

#[rustfmt::skip]
static RESOURCES_7_V1_0: &[ResourceDefinition] = &[
    row(0, "SMS Tx Counter", Operations::R, false, false, ValueType::Integer, "", "", "Short messages sent."),
    row(1, "SMS Rx Counter", Operations::R, false, false, ValueType::Integer, "", "", "Short messages received."),
    row(2, "Tx Data", Operations::R, false, false, ValueType::Integer, "", "Kilo-Bytes", "IP data sent."),
    row(3, "Rx Data", Operations::R, false, false, ValueType::Integer, "", "Kilo-Bytes", "IP data received."),
    row(4, "Max Message Size", Operations::R, false, false, ValueType::Integer, "", "Byte", "Largest IP message."),
    row(5, "Average Message Size", Operations::R, false, false, ValueType::Integer, "", "Byte", "Mean IP message."),
    row(6, "Start", Operations::E, false, true, ValueType::None, "", "", "Sets everything to zero and begins."),
    row(7, "Stop", Operations::E, false, true, ValueType::None, "", "", "Ends and keeps the values."),
    row(8, "Collection Period", Operations::RW, false, false, ValueType::Integer, "", "Seconds", "How long it goes on after Start; 0 until Stop."),
];

static OBJECT_7_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(7),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Connectivity Statistics"),
    description: Cow::Borrowed("What was sent and received in a period of time."),
    multiple: false,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_7_V1_0),
};

#[rustfmt::skip]
static RESOURCES_19_V1_0: &[ResourceDefinition] = &[
    row(0, "Data", Operations::RW, true, true, ValueType::Opaque, "", "", "The data."),
    row(1, "Data Priority", Operations::RW, false, false, ValueType::Integer, "1 bytes", "", "How urgent the data are: 0 immediate, 1 best effort, 2 latest."),
    row(2, "Data Creation Time", Operations::RW, false, false, ValueType::Time, "", "", "When the data came to be."),
    row(3, "Data Description", Operations::RW, false, false, ValueType::String, "32 bytes", "", "What the data are."),
    row(4, "Data Format", Operations::RW, false, false, ValueType::String, "32 bytes", "", "How the data are written."),
    row(5, "App ID", Operations::RW, false, false, ValueType::Integer, "2 bytes", "", "Which application they belong to."),
];

static OBJECT_19_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(19),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("BinaryAppDataContainer"),
    description: Cow::Borrowed("Data of an application that only the application understands."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_19_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3300_V1_0: &[ResourceDefinition] = &[
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(5751, "Sensor Type", Operations::R, false, false, ValueType::String, "", "", "What kind of sensor it is."),
];

static OBJECT_3300_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3300),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Generic Sensor"),
    description: Cow::Borrowed("A sensor of any kind."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3300_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3300_V1_1: &[ResourceDefinition] = &[
    row(5518, "Timestamp", Operations::R, false, false, ValueType::Time, "", "", "When the value was measured."),
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(5751, "Sensor Type", Operations::R, false, false, ValueType::String, "", "", "What kind of sensor it is."),
    row(6042, "Measurement Quality Indicator", Operations::R, false, false, ValueType::Integer, "0..23", "", "How the sensor itself judges the value."),
    row(6049, "Measurement Quality Level", Operations::R, false, false, ValueType::Integer, "0..100", "", "How good the value is, 100 being best."),
    row(6050, "Fractional Timestamp", Operations::R, false, false, ValueType::Float, "0..1", "s", "The part of that second."),
];

static OBJECT_3300_V1_1: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3300),
    version: ObjectVersion { major: 1, minor: 1 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Generic Sensor"),
    description: Cow::Borrowed("A sensor of any kind."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3300_V1_1),
};

#[rustfmt::skip]
static RESOURCES_3303_V1_0: &[ResourceDefinition] = &[
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
];

static OBJECT_3303_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3303),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Temperature"),
    description: Cow::Borrowed("A thermometer."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3303_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3303_V1_1: &[ResourceDefinition] = &[
    row(5518, "Timestamp", Operations::R, false, false, ValueType::Time, "", "", "When the value was measured."),
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(6042, "Measurement Quality Indicator", Operations::R, false, false, ValueType::Integer, "0..23", "", "How the sensor itself judges the value."),
    row(6049, "Measurement Quality Level", Operations::R, false, false, ValueType::Integer, "0..100", "", "How good the value is, 100 being best."),
    row(6050, "Fractional Timestamp", Operations::R, false, false, ValueType::Float, "0..1", "s", "The part of that second."),
];

static OBJECT_3303_V1_1: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3303),
    version: ObjectVersion { major: 1, minor: 1 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Temperature"),
    description: Cow::Borrowed("A thermometer."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3303_V1_1),
};

#[rustfmt::skip]
static RESOURCES_3304_V1_0: &[ResourceDefinition] = &[
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
];

static OBJECT_3304_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3304),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Humidity"),
    description: Cow::Borrowed("A sensor of relative humidity."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3304_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3304_V1_1: &[ResourceDefinition] = &[
    row(5518, "Timestamp", Operations::R, false, false, ValueType::Time, "", "", "When the value was measured."),
    row(5601, "Min Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value since start or reset."),
    row(5602, "Max Measured Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value since start or reset."),
    row(5603, "Min Range Value", Operations::R, false, false, ValueType::Float, "", "", "The lowest value it can measure."),
    row(5604, "Max Range Value", Operations::R, false, false, ValueType::Float, "", "", "The highest value it can measure."),
    row(5605, "Reset Min and Max Measured Values", Operations::E, false, false, ValueType::None, "", "", "Begins anew with lowest and highest."),
    row(5700, "Sensor Value", Operations::R, false, true, ValueType::Float, "", "", "The value now."),
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of the values."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(6042, "Measurement Quality Indicator", Operations::R, false, false, ValueType::Integer, "0..23", "", "How the sensor itself judges the value."),
    row(6049, "Measurement Quality Level", Operations::R, false, false, ValueType::Integer, "0..100", "", "How good the value is, 100 being best."),
    row(6050, "Fractional Timestamp", Operations::R, false, false, ValueType::Float, "0..1", "s", "The part of that second."),
];

static OBJECT_3304_V1_1: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3304),
    version: ObjectVersion { major: 1, minor: 1 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Humidity"),
    description: Cow::Borrowed("A sensor of relative humidity."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3304_V1_1),
};

#[rustfmt::skip]
static RESOURCES_3311_V1_0: &[ResourceDefinition] = &[
    row(5701, "Sensor Units", Operations::R, false, false, ValueType::String, "", "", "The unit of colour."),
    row(5706, "Colour", Operations::RW, false, false, ValueType::String, "", "", "The colour, in that unit."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(5805, "Cumulative active power", Operations::R, false, false, ValueType::Float, "", "Wh", "Energy used since it was installed."),
    row(5820, "Power factor", Operations::R, false, false, ValueType::Float, "", "", "Power factor of the load."),
    row(5850, "On/Off", Operations::RW, false, true, ValueType::Boolean, "", "", "Whether it is on."),
    row(5851, "Dimmer", Operations::RW, false, false, ValueType::Integer, "0..100", "/100", "How bright it is."),
    row(5852, "On time", Operations::RW, false, false, ValueType::Integer, "", "s", "How long it has been on; writing 0 resets it."),
];

static OBJECT_3311_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3311),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Light Control"),
    description: Cow::Borrowed("A lamp that can be switched, and perhaps dimmed and coloured."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3311_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3342_V1_0: &[ResourceDefinition] = &[
    row(5500, "Digital Input State", Operations::R, false, true, ValueType::Boolean, "", "", "Whether it is on."),
    row(5501, "Digital Input Counter", Operations::R, false, false, ValueType::Integer, "", "", "How often it was switched on."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(5852, "On time", Operations::RW, false, false, ValueType::Integer, "", "s", "How long it has been on; writing 0 resets it."),
    row(5854, "Off Time", Operations::RW, false, false, ValueType::Integer, "", "s", "How long it has been off; writing 0 resets it."),
];

static OBJECT_3342_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3342),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("On/Off switch"),
    description: Cow::Borrowed("A switch that people turn."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3342_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3342_V1_1: &[ResourceDefinition] = &[
    row(5500, "Digital Input State", Operations::R, false, true, ValueType::Boolean, "", "", "Whether it is on."),
    row(5501, "Digital Input Counter", Operations::R, false, false, ValueType::Integer, "", "", "How often it was switched on."),
    row(5518, "Timestamp", Operations::R, false, false, ValueType::Time, "", "", "When the value was measured."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(5852, "On time", Operations::RW, false, false, ValueType::Integer, "", "s", "How long it has been on; writing 0 resets it."),
    row(5854, "Off Time", Operations::RW, false, false, ValueType::Integer, "", "s", "How long it has been off; writing 0 resets it."),
    row(6050, "Fractional Timestamp", Operations::R, false, false, ValueType::Float, "0..1", "s", "The part of that second."),
];

static OBJECT_3342_V1_1: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3342),
    version: ObjectVersion { major: 1, minor: 1 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("On/Off switch"),
    description: Cow::Borrowed("A switch that people turn."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3342_V1_1),
};

#[rustfmt::skip]
static RESOURCES_3347_V1_0: &[ResourceDefinition] = &[
    row(5500, "Digital Input State", Operations::R, false, true, ValueType::Boolean, "", "", "Whether it is pressed."),
    row(5501, "Digital Input Counter", Operations::R, false, false, ValueType::Integer, "", "", "How often it was pressed."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
];

static OBJECT_3347_V1_0: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3347),
    version: ObjectVersion { major: 1, minor: 0 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Push button"),
    description: Cow::Borrowed("A button that people press."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3347_V1_0),
};

#[rustfmt::skip]
static RESOURCES_3347_V1_1: &[ResourceDefinition] = &[
    row(5500, "Digital Input State", Operations::R, false, true, ValueType::Boolean, "", "", "Whether it is pressed."),
    row(5501, "Digital Input Counter", Operations::R, false, false, ValueType::Integer, "", "", "How often it was pressed."),
    row(5518, "Timestamp", Operations::R, false, false, ValueType::Time, "", "", "When the value was measured."),
    row(5750, "Application Type", Operations::RW, false, false, ValueType::String, "", "", "What it is used for, in the words of the user."),
    row(6050, "Fractional Timestamp", Operations::R, false, false, ValueType::Float, "0..1", "s", "The part of that second."),
];

static OBJECT_3347_V1_1: ObjectDefinition = ObjectDefinition {
    id: ObjectId(3347),
    version: ObjectVersion { major: 1, minor: 1 },
    lwm2m_version: LwM2mVersion { major: 1, minor: 0 },
    name: Cow::Borrowed("Push button"),
    description: Cow::Borrowed("A button that people press."),
    multiple: true,
    mandatory: false,
    resources: Cow::Borrowed(RESOURCES_3347_V1_1),
};
