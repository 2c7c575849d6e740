//! Invented customers: all names, addresses and cards are made up.

use super::dice::Dice;
use super::json::Json;

/// An invented customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    first_name: &'static str,
    last_name: &'static str,
    street: &'static str,
    number: u64,
    city: (&'static str, &'static str, &'static str),
    pub(super) card: String,
    /// The address of their browser.
    pub(super) ip_address: String,
}

const FIRST_NAMES: [&str; 8] =
    ["Anouk", "Björn", "Chidi", "Dolores", "Emre", "Frida", "Gaël", "Hanako"];
const LAST_NAMES: [&str; 8] =
    ["Abbott", "Benoît", "Castellanos", "Dvořák", "Eriksen", "Fujimoto", "Grünwald", "Hollis"];
const STREETS: [&str; 6] =
    ["Quarry Lane", "Rue des Tilleuls", "Mill Road", "Lindenstraße", "Harbour Walk", "Calle Mayor"];
const CITIES: [(&str, &str, &str); 6] = [
    ("Northfield", "CO", "US"),
    ("Lille", "Hauts-de-France", "FR"),
    ("Eastbrook", "ON", "CA"),
    ("Köln", "NW", "DE"),
    ("Port Alma", "QLD", "AU"),
    ("Zaragoza", "AR", "ES"),
];

impl Customer {
    pub(super) fn invent(dice: &mut Dice) -> Self {
        Self {
            first_name: *dice.pick(&FIRST_NAMES),
            last_name: *dice.pick(&LAST_NAMES),
            street: *dice.pick(&STREETS),
            number: dice.between(1, 240),
            city: *dice.pick(&CITIES),
            card: format!("{:04}", dice.below(10_000)),
            // An address block reserved for documentation.
            ip_address: format!("192.0.2.{}", dice.between(1, 254)),
        }
    }

    pub(super) fn email(&self) -> String {
        format!("customer.{}.{}@example.com", self.card, self.number)
    }

    pub(super) fn postal_address(&self) -> Json {
        let (city, region, country) = self.city;
        let full_name = format!("{} {}", self.first_name, self.last_name);
        Json::Object(vec![
            ("name", Json::text(&full_name)),
            ("first_name", Json::text(self.first_name)),
            ("last_name", Json::text(self.last_name)),
            ("full_name", Json::text(&full_name)),
            ("address_1", Json::text(format!("{} {}", self.number, self.street))),
            ("address_2", Json::Null),
            ("street_number", Json::text(self.number.to_string())),
            ("street_name", Json::text(self.street)),
            ("city", Json::text(city)),
            ("sub_locality", Json::Null),
            ("region", Json::text(region)),
            ("country", Json::text(country)),
            ("postal_code", Json::text(format!("{:05}", self.number * 271))),
            ("phone", Json::text(format!("555-01{:02}", self.number % 100))),
        ])
    }
}
