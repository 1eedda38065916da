"""Rules by data category: what a name, or a type, shows of the data it holds.

They withhold only where the declaration says that the data holds none of that category
(`excluded`): what looks like it all the same is a mistake, and is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from remit._capture.names import ends_in_term, words_of
from remit._capture.rule import Rule, listed


class CategoryRule(Rule, frozen=True, kw_only=True):
    """A rule by data category.

    Attributes:
        category: Field of `remit.DataCategories`.
        terms: Ends of names that show it, as words parted by spaces.
        types: (top-level package, class) of types whose values are of it.
        unless: Words anywhere in a name that make it something else.
    """

    category: str
    terms: tuple[str, ...]
    types: tuple[tuple[str, str], ...] = ()
    unless: frozenset[str] = frozenset()


def _rule(
    category: str,
    terms: str,
    *,
    positives: str,
    negatives: str,
    types: tuple[tuple[str, str], ...] = (),
    unless: str = "",
) -> CategoryRule:
    return CategoryRule(
        name=f"category:{category}",
        withholds=f"what looks like {category} where the declaration excludes it",
        category=category,
        terms=listed(terms),
        types=types,
        unless=frozenset(unless.split()),
        positives=tuple(positives.split()),
        negatives=tuple(negatives.split()),
    )


CATEGORY_RULES: Final = (
    _rule(
        "location_and_tracking",
        "latitude, longitude, lat, lng, lon, lat lon, lat long, coordinate, gps, geolocation, "
        "geo location, location, ip, ip address, ip addr, client ip, remote addr, mac address, "
        "device id, imei, advertising id, idfa",
        positives="latitude clientIp ip_address gps_coordinates device_id",
        negatives="translation latency zip_code allocation flat",
        types=(
            ("ipaddress", "IPv4Address"),
            ("ipaddress", "IPv6Address"),
            ("ipaddress", "IPv4Interface"),
            ("ipaddress", "IPv6Interface"),
            ("ipaddress", "IPv4Network"),
            ("ipaddress", "IPv6Network"),
            ("pydantic", "IPvAnyAddress"),
            ("pydantic", "IPvAnyInterface"),
            ("pydantic", "IPvAnyNetwork"),
            ("pydantic_extra_types", "Coordinate"),
            ("pydantic_extra_types", "Latitude"),
            ("pydantic_extra_types", "Longitude"),
            ("pydantic_extra_types", "MacAddress"),
        ),
    ),
    _rule(
        "contact_information",
        "email, e mail, email address, mail address, phone, phone number, telephone, mobile, "
        "mobile number, cell phone, fax, fax number, address, street, postcode, post code, "
        "postal code, zip, zip code",
        positives="email customerEmail phone_number billing_address postcode emails",
        negatives="email_template wallet_address memory_address phone_count address_space",
        types=(
            ("pydantic", "EmailStr"),
            ("pydantic", "NameEmail"),
            ("pydantic_extra_types", "PhoneNumber"),
            ("pydantic_extra_types", "PhoneNumberValidator"),
            ("phonenumbers", "PhoneNumber"),
        ),
        unless="wallet memory contract url bind server host listen base mac ip node",
    ),
    _rule(
        "personal_identifiers",
        "passport, passport number, passport no, national id, tax id, tin, driver license, "
        "drivers license, license number, licence number, first name, last name, surname, "
        "full name, family name, given name, middle name, maiden name, date of birth, dob, "
        "birth date, birthdate, birthday, aadhaar, nhs number",
        positives="passport_number dateOfBirth dob last_name tax_id",
        negatives="filename hostname class_name updated_at name passport_office",
    ),
    _rule(
        "financial_information",
        "iban, bic, swift, card number, credit card, debit card, card no, account number, "
        "routing number, sort code, bank account, salary, income, credit score, account balance",
        positives="iban card_number accountNumber credit_cards salary",
        negatives="card_type account_id discard number balance_sheet_url",
        types=(
            ("pydantic", "PaymentCardNumber"),
            ("pydantic_extra_types", "PaymentCardNumber"),
            ("pydantic_extra_types", "ABARoutingNumber"),
            ("pydantic_extra_types", "IBAN"),
        ),
    ),
    _rule(
        "health_and_medical",
        "diagnosis, diagnoses, medication, prescription, allergy, allergies, symptom, blood type, "
        "blood group, medical record, medical history, health record, disease, icd code, "
        "health condition, disability",
        positives="diagnosis current_medications bloodType symptoms",
        negatives="health health_check diagnostics prescription_count",
    ),
    _rule(
        "criminal_justice",
        "criminal record, conviction, arrest, offence, offense, felony, criminal history",
        positives="criminal_record convictions",
        negatives="record offset arrest_rate",
    ),
    _rule(
        "authentication_and_secrets",
        "session id, sessionid, username, user name, login, recovery email, security question, "
        "security answer",
        positives="session_id userName security_answer",
        negatives="session login_url user_names_only",
    ),
    _rule(
        "minors_data",
        "child name, child age, children names, guardian, guardian name, pupil name, school grade",
        positives="child_name guardian",
        negatives="child children child_process age",
    ),
    _rule(
        "behavioural_and_inferred",
        "browsing history, search history, purchase history, watch history, interest, "
        "user segment, churn score, click stream, clickstream",
        positives="browsing_history purchaseHistory interests",
        negatives="history interest_rate chat_history",
    ),
    _rule(
        "gdpr_racial_or_ethnic_origin",
        "ethnicity, ethnic origin, race, racial origin, ethnic group",
        positives="ethnicity race",
        negatives="trace race_condition origin brace",
    ),
    _rule(
        "gdpr_political_opinions",
        "political opinion, political party, party affiliation, political view, political belief",
        positives="political_opinions partyAffiliation",
        negatives="party policy view",
    ),
    _rule(
        "gdpr_religious_or_philosophical_beliefs",
        "religion, religious belief, faith, denomination, philosophical belief",
        positives="religion religious_beliefs",
        negatives="region faithful",
    ),
    _rule(
        "gdpr_trade_union_membership",
        "trade union, union membership, union member, labor union, labour union",
        positives="trade_union unionMembership",
        negatives="union member",
    ),
    _rule(
        "gdpr_genetic_data",
        "genome, dna, genotype, genetic data, dna sequence, genetic marker",
        positives="dna geneticData genome",
        negatives="sequence generic",
    ),
    _rule(
        "gdpr_biometric_for_identification",
        "fingerprint, face embedding, iris scan, voiceprint, voice print, faceprint, biometric, "
        "retina scan",
        positives="fingerprints irisScan biometrics",
        negatives="face embedding scan fingerprint_algorithm",
    ),
    _rule(
        "gdpr_sex_life_or_sexual_orientation",
        "sexual orientation, sex life, sexual preference",
        positives="sexual_orientation sexLife",
        negatives="orientation sex life_cycle",
    ),
)

_TERMS: Final = tuple(
    (rule, frozenset(tuple(term.split()) for term in rule.terms)) for rule in CATEGORY_RULES
)
_BY_TYPE: Final[Mapping[tuple[str, str], str]] = {
    each: rule.category for rule in CATEGORY_RULES for each in rule.types
}


@lru_cache(maxsize=4096)
def category_of_name(name: str) -> str | None:
    """Return the data category that *name* shows, or `None`."""
    words = words_of(name)
    for rule, terms in _TERMS:
        if ends_in_term(words, terms) and rule.unless.isdisjoint(words):
            return rule.category
    return None


def category_of_type(module: str, name: str) -> str | None:
    """Return the data category of values of the class *name* of *module*, or `None`."""
    return _BY_TYPE.get((module.partition(".")[0], name))
