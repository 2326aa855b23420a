//! The coffee machine: a device with an Object of its own, which no registry knows. It shows how a
//! definition is loaded, and how an Object that does something is written.

use dunlin_client::lwm2m::ObjectId;
use dunlin_client::lwm2m::definition::ResourceDefinition;
use dunlin_client::object::{Action, Behaviour};
use dunlin_client::{Client, Factory, FactoryError, Now, Refusal};
use dunlin_lwm2m::operation::{Arguments, ResponseCode};
use dunlin_lwm2m::{Instance, ObjectInstanceId, Resource, ResourceId, Value};

use super::kinds::{noise, set, tenth};

/// The definition of the Object.
pub(super) const DDF: &str = include_str!("31001-1.0.xml");

const COFFEE_MACHINE: ObjectId = ObjectId(31_001);

const PLACE: u16 = 0;
const CUPS: u16 = 1;
const BOILER: u16 = 2;
const WATER: u16 = 3;
const SAVING: u16 = 4;
const MAKE: u16 = 5;
const PROGRESS: u16 = 6;
const REFILL: u16 = 7;

/// What a full tank holds.
const TANK_ML: i64 = 2_000;

/// A cup of which nobody says how large it is to be.
const CUP_ML: i64 = 120;

/// What the machine can make.
const CUP_ML_MIN: i64 = 20;
const CUP_ML_MAX: i64 = 400;

/// A cup begins here and goes on in these steps, once a second.
const PROGRESS_FIRST: i64 = 10;
const PROGRESS_STEP: i64 = 20;

pub(super) fn build(factory: &mut Factory) -> Result<(), FactoryError> {
    factory.add_object(COFFEE_MACHINE)?.behaviour = Box::new(CoffeeMachine);
    let place = Value::String("Kitchen, second floor".into());
    let machine = Instance::new(0)
        .with(Resource::single(PLACE, place))
        .with(Resource::single(CUPS, Value::Integer(0)))
        .with(Resource::single(BOILER, Value::Float(91.0)))
        .with(Resource::single(WATER, Value::Integer(62)))
        .with(Resource::single(SAVING, Value::Boolean(false)))
        .with(Resource::single(PROGRESS, Value::Integer(0)));
    factory.add_instance(COFFEE_MACHINE, machine)
}

/// Every second a cup in the making comes nearer, and the boiler follows. At times somebody in the
/// kitchen wants a cup, or fills the tank.
pub(super) fn tick(client: &mut Client, now: Now, seconds: u64) {
    let value = |id| client.tree().value(COFFEE_MACHINE, ObjectInstanceId(0), id);
    let integer = |id| value(id).and_then(Value::as_integer).unwrap_or(0);
    let boiler = value(BOILER).and_then(Value::as_number).unwrap_or(91.0);
    let saves = value(SAVING) == Some(&Value::Boolean(true));
    let (progress, cups, water) = (integer(PROGRESS), integer(CUPS), integer(WATER));
    let set_integer = |client: &mut Client, id: u16, value| {
        set(
            client,
            now,
            &format!("/31001/0/{id}"),
            Value::Integer(value),
        );
    };
    let goal = if saves && progress == 0 { 60.0 } else { 91.0 };
    let boiler = boiler + (goal - boiler) * 0.1 + 0.4 * noise(seconds);
    set(client, now, "/31001/0/2", Value::Float(tenth(boiler)));
    match progress {
        0 if seconds.is_multiple_of(120) && water < percent(CUP_ML_MAX) => {
            set_integer(client, WATER, 100);
        }
        0 if seconds.is_multiple_of(60) && water >= percent(CUP_ML) => {
            set_integer(client, WATER, water - percent(CUP_ML));
            set_integer(client, PROGRESS, PROGRESS_FIRST);
        }
        0 => {}
        _ if progress + PROGRESS_STEP > 100 => {
            set_integer(client, PROGRESS, 0);
            set_integer(client, CUPS, cups + 1);
        }
        _ => set_integer(client, PROGRESS, progress + PROGRESS_STEP),
    }
}

fn percent(ml: i64) -> i64 {
    ml * 100 / TANK_ML
}

/// What executing does; the rest is data.
#[derive(Debug)]
struct CoffeeMachine;

impl Behaviour for CoffeeMachine {
    fn executes(&self, definition: &ResourceDefinition) -> bool {
        matches!(definition.id.0, MAKE | REFILL)
    }

    fn execute(
        &mut self,
        instance: &mut Instance,
        resource: ResourceId,
        arguments: &Arguments,
        _now: Now,
    ) -> Result<Action, Refusal> {
        let integer = |id: u16| instance.value(id).and_then(Value::as_integer).unwrap_or(0);
        if integer(PROGRESS) > 0 {
            return Err(busy("a cup is in the making already"));
        }
        if resource.0 == REFILL {
            instance.insert(Resource::single(WATER, Value::Integer(100)));
            return Ok(Action::Nothing);
        }
        let left = integer(WATER) - percent(size_ml(arguments)?);
        if left < 0 {
            return Err(busy("there is not enough water; execute Refill first"));
        }
        instance.insert(Resource::single(WATER, Value::Integer(left)));
        instance.insert(Resource::single(PROGRESS, Value::Integer(PROGRESS_FIRST)));
        Ok(Action::Nothing)
    }

    fn creatable(&self) -> bool {
        false
    }

    fn deletable(&self) -> bool {
        false
    }
}

/// Argument 0, the size of the cup.
fn size_ml(arguments: &Arguments) -> Result<i64, Refusal> {
    let Some(argument) = arguments.argument(0) else {
        return Ok(CUP_ML);
    };
    let size = argument.value.as_deref().and_then(|text| text.parse().ok());
    size.filter(|size| (CUP_ML_MIN..=CUP_ML_MAX).contains(size))
        .ok_or(Refusal {
            code: ResponseCode::BadRequest,
            what: "argument 0 is the size in millilitres, from 20 to 400",
        })
}

fn busy(what: &'static str) -> Refusal {
    Refusal {
        code: ResponseCode::InternalServerError,
        what,
    }
}
