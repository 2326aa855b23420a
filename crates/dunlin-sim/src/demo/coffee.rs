//! The coffee machine: a device with an Object of its own, which no registry knows. It shows how a
//! definition is loaded, and how an Object that does something is written.

use dunlin_client::lwm2m::ObjectId;
use dunlin_client::lwm2m::definition::ResourceDefinition;
use dunlin_client::object::{Action, Behaviour};
use dunlin_client::{Client, Factory, FactoryError, Now, Refusal, WallTime};
use dunlin_lwm2m::operation::{Arguments, ResponseCode};
use dunlin_lwm2m::{Instance, ObjectInstanceId, Resource, ResourceId, Value};

use super::kinds::set;

/// The definition of the Object.
pub(super) const DDF: &str = include_str!("33001-1.0.xml");

const COFFEE_MACHINE: ObjectId = ObjectId(33_001);

const NAME: u16 = 0;
const STATE: u16 = 1;
const START: u16 = 2;
const PROGRESS: u16 = 3;
const CUPS: u16 = 4;
const STRENGTH: u16 = 5;
const WATER: u16 = 6;
const REFILL: u16 = 7;

const IDLE: i64 = 0;
const BREWING: i64 = 1;
const NO_WATER: i64 = 2;

/// Water for one cup, in percent of the tank.
const CUP_PERCENT: f64 = 8.0;

/// A cup takes five seconds.
const PROGRESS_PER_SECOND: i64 = 20;

pub(super) fn build(factory: &mut Factory) -> Result<(), FactoryError> {
    factory.add_object(COFFEE_MACHINE)?.behaviour = Box::new(CoffeeMachine);
    let machine = Instance::new(0)
        .with(Resource::single(NAME, Value::String("Kitchen".into())))
        .with(Resource::single(STATE, Value::Integer(IDLE)))
        .with(Resource::single(PROGRESS, Value::Integer(0)))
        .with(Resource::single(CUPS, Value::Integer(0)))
        .with(Resource::single(STRENGTH, Value::Integer(3)))
        .with(Resource::single(WATER, Value::Float(100.0)));
    factory.add_instance(COFFEE_MACHINE, machine)
}

/// Every second a cup in the making comes nearer. At times somebody in the kitchen wants one.
pub(super) fn tick(client: &mut Client, now: Now, seconds: u64) {
    let value = |id| client.tree().value(COFFEE_MACHINE, ObjectInstanceId(0), id);
    let integer = |id| value(id).and_then(Value::as_integer).unwrap_or(0);
    let water = value(WATER).and_then(Value::as_number).unwrap_or(0.0);
    let (state, progress, cups) = (integer(STATE), integer(PROGRESS), integer(CUPS));
    let set_integer = |client: &mut Client, id: u16, value| {
        set(
            client,
            now,
            &format!("/33001/0/{id}"),
            Value::Integer(value),
        );
    };
    match state {
        BREWING if progress + PROGRESS_PER_SECOND < 100 => {
            set_integer(client, PROGRESS, progress + PROGRESS_PER_SECOND);
        }
        BREWING => {
            let left = (water - CUP_PERCENT).max(0.0);
            let after = if left < CUP_PERCENT { NO_WATER } else { IDLE };
            set(client, now, "/33001/0/6", Value::Float(left));
            set_integer(client, CUPS, cups + 1);
            set_integer(client, PROGRESS, 0);
            set_integer(client, STATE, after);
        }
        IDLE if seconds.is_multiple_of(60) => set_integer(client, STATE, BREWING),
        // Nobody refills it from afar? Then somebody in the kitchen does.
        NO_WATER if seconds.is_multiple_of(120) => {
            set(client, now, "/33001/0/6", Value::Float(100.0));
            set_integer(client, STATE, IDLE);
        }
        _ => {}
    }
}

/// What executing does; the rest is data.
#[derive(Debug)]
struct CoffeeMachine;

impl Behaviour for CoffeeMachine {
    fn executes(&self, definition: &ResourceDefinition) -> bool {
        matches!(definition.id.0, START | REFILL)
    }

    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        _arguments: &Arguments,
        _wall: WallTime,
    ) -> Result<Action, Refusal> {
        let state = instance.value(STATE).and_then(Value::as_integer);
        match (resource.0, state) {
            (START, Some(IDLE)) => {
                instance.insert(Resource::single(STATE, Value::Integer(BREWING)));
            }
            (START, Some(NO_WATER)) => return refuse("there is no water; execute Refill first"),
            (START, _) => return refuse("a cup is in the making already"),
            (_, Some(BREWING)) => return refuse("not while it brews"),
            _ => {
                instance.insert(Resource::single(WATER, Value::Float(100.0)));
                instance.insert(Resource::single(STATE, Value::Integer(IDLE)));
            }
        }
        Ok(Action::Nothing)
    }

    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}

fn refuse(what: &'static str) -> Result<Action, Refusal> {
    let code = ResponseCode::InternalServerError;
    Err(Refusal { code, what })
}
