//! Invented shops and what they sell.

use super::dice::Dice;
use super::{DAY_MS, FIRST_DAY_MS};

/// A shop: the `site` of its webhooks.
#[derive(Debug, Clone)]
pub(super) struct Shop {
    pub(super) site: String,
    pub(super) invoice_prefix: &'static str,
    pub(super) products: Vec<Product>,
    pub(super) plugin: Option<Plugin>,
}

/// A plugin that writes the same external id on every order, starting on a certain day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plugin {
    pub(super) since_ms: i64,
    pub(super) external_id: &'static str,
}

/// A product that a shop sells.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) id: String,
    pub(super) external_id: String,
    pub(super) sku: String,
    pub(super) name: &'static str,
    pub(super) price_cents: u64,
    pub(super) naming: Naming,
    pub(super) variations: Vec<Variation>,
    /// The weight with which it is bought, relative to the others.
    pub(super) popularity: u64,
    /// Whether it is cut to measure, with quantities in quarters of a unit.
    pub(super) by_measure: bool,
}

/// A size of a product.
#[derive(Debug, Clone)]
pub(super) struct Variation {
    pub(super) id: String,
    pub(super) external_id: String,
    pub(super) label: &'static str,
}

/// Which names an order's line gives a product. All orders use the same names, so it is one stock
/// item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    Variation,
    Product,
    ExternalVariation,
    ExternalProduct,
    Sku,
    /// Made for one order: only the line's own id, if it has one.
    Bespoke,
}

/// The naming of the n-th product of a shop.
const NAMINGS: [Naming; 12] = [
    Naming::Variation,
    Naming::Product,
    Naming::Variation,
    Naming::ExternalVariation,
    Naming::Product,
    Naming::Variation,
    Naming::Sku,
    Naming::Product,
    Naming::ExternalProduct,
    Naming::Variation,
    Naming::Product,
    Naming::Bespoke,
];

/// The shops by the word in their site's name: invoice prefix, sizes, and products, the most
/// popular first. A product is sold by measure if its name says so.
const SHOPS: [(&str, &str, &str, &str); 4] = [
    (
        "ceramics",
        "CLAY",
        "Small; Medium; Large",
        "Grey ceramic plate; Cobalt mug; Oatmeal breakfast bowl; Celadon teapot; \
         Speckled vase; Crème brûlée dish; Salt pig; Butter dish; \
         Terracotta by the tile; Raku tea bowl 楽; Candle holder; Engraved house number",
    ),
    (
        "tea",
        "LEAF",
        "50 g tin; 100 g bag; 250 g bag",
        "Assam breakfast; Earl Grey; Sencha first flush; Jasmine pearls; \
         Lapsang souchong; Genmaicha 玄米茶; Rooibos & vanilla; Chai masala; \
         Darjeeling by weight; Grüner Oolong; Bamboo whisk; Tasting, for your party",
    ),
    (
        "linen",
        "LOOM",
        "Sand; Indigo; Moss",
        "Tea towel; Linen by the metre; Wool blanket; Cushion cover; \
         Ticking stripe by the metre; Merino scarf; Table runner; Cotton throw; \
         Felt slippers; Bath sheet; Apron \"Hygge\"; Curtains made to measure",
    ),
    (
        "garden",
        "SEED",
        "Packet; Box; Sack",
        "Sweet peas; Heirloom tomatoes; Wildflower meadow; Basil Genovese; \
         Hand trowel; Piment d'Espelette; Twine by the metre; Watering can; \
         Peat-free compost; Sunflowers; Leather gloves; Planting plan",
    ),
];

const PLUGIN: Plugin = Plugin { since_ms: FIRST_DAY_MS + 240 * DAY_MS, external_id: "storefront" };

/// The shop that runs on a third-party store: it sends notices only.
pub(super) const STORE: &str = "market";

/// Returns the name of a site of a history.
pub(super) fn site_name(seed: u64, shop: &str) -> String {
    format!("seed{seed}-{shop}")
}

/// Returns the names of all sites of a history.
pub(super) fn site_names(seed: u64) -> Vec<String> {
    SHOPS.iter().map(|shop| shop.0).chain([STORE]).map(|shop| site_name(seed, shop)).collect()
}

/// Returns the shops of a seed.
pub(super) fn shops(seed: u64, dice: &mut Dice) -> Vec<Shop> {
    SHOPS
        .iter()
        .map(|(name, prefix, sizes, products)| Shop {
            site: site_name(seed, name),
            invoice_prefix: prefix,
            products: (0_u64..)
                .zip(products.split("; "))
                .zip(NAMINGS)
                .map(|((place, product), naming)| {
                    new_product(dice, place, product, naming, prefix, sizes)
                })
                .collect(),
            plugin: (*name == "garden").then_some(PLUGIN),
        })
        .collect()
}

fn new_product(
    dice: &mut Dice,
    place: u64,
    name: &'static str,
    naming: Naming,
    prefix: &str,
    sizes: &'static str,
) -> Product {
    let has_sizes = matches!(naming, Naming::Variation | Naming::ExternalVariation);
    let sku = format!("{prefix}-{:03}", 100 + place * 7);
    let variations = sizes.split("; ").filter(|_| has_sizes).map(|label| Variation {
        id: dice.short_id(),
        external_id: format!("{sku}/{label}"),
        label,
    });
    let variations = variations.collect();
    Product {
        id: dice.short_id(),
        external_id: format!("erp-{}", 10_000 + place * 13),
        sku,
        name,
        price_cents: dice.between(4, 90) * 100 - 1,
        naming,
        variations,
        popularity: 60 / (place + 2) + 2,
        by_measure: name.contains("by the metre") || name.contains("by weight"),
    }
}

impl Product {
    /// Returns the stock key of this product, or of one of its sizes, under the default policy, or
    /// `None` if it is made for one order.
    pub(super) fn stock_key(&self, variation: Option<&Variation>) -> Option<String> {
        Some(match (self.naming, variation) {
            (Naming::Variation, Some(variation)) => format!("variation:{}", variation.id),
            (Naming::ExternalVariation, Some(variation)) => {
                format!("external-variation:{}", variation.external_id)
            }
            (Naming::Product | Naming::Variation | Naming::ExternalVariation, _) => {
                format!("product:{}", self.id)
            }
            (Naming::ExternalProduct, _) => format!("external-product:{}", self.external_id),
            (Naming::Sku, _) => format!("sku:{}", self.sku),
            (Naming::Bespoke, _) => return None,
        })
    }
}
