"""Rules by data category: which data a name or a type indicates.

They redact values only where the declaration excludes their category (`excluded`): data of that
category is a mistake there, and is not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from remit._capture.rules.names import in_plain_letters, name_endings, split_list, words_of


class CategoryRule(Struct, frozen=True):
    """A rule by data category; its name is `category:` and the category.

    Attributes:
        category: Field of `remit.DataCategories`.
        terms: Ends of names that show it, in words.
        types: (top-level package, class) of types whose values are of it.
        unless: Words anywhere in a name that make it something else.
    """

    category: str
    terms: frozenset[tuple[str, ...]]
    types: tuple[tuple[str, str], ...]
    unless: frozenset[str]


def _rule(
    category: str,
    terms: str,
    *,
    types: Mapping[str, str] = MappingProxyType({}),
    unless: str = "",
) -> CategoryRule:
    """Return a rule; *types* has the classes of each package, separated by spaces."""
    return CategoryRule(
        category,
        terms=frozenset(tuple(term.split()) for term in split_list(terms)),
        types=tuple((package, name) for package in types for name in types[package].split()),
        unless=frozenset(unless.split()),
    )


CATEGORY_RULES: Final = (
    _rule(
        "location_and_tracking",
        "latitude, longitude, lat, lng, lon, lat lon, lat long, coordinate, gps, geolocation, "
        "geo location, location, ip, ip address, ip addr, client ip, remote addr, mac address, "
        "device id, imei, advertising id, idfa",
        types={
            "ipaddress": "IPv4Address IPv6Address IPv4Interface "
            "IPv6Interface IPv4Network IPv6Network",
            "pydantic": "IPvAnyAddress IPvAnyInterface IPvAnyNetwork",
            "pydantic_extra_types": "Coordinate Latitude Longitude MacAddress",
        },
    ),
    _rule(
        "contact_information",
        "email, e mail, email address, mail address, phone, phone number, telephone, mobile, "
        "mobile number, cell phone, fax, fax number, address, street, postcode, post code, "
        "postal code, zip, zip code",
        types={
            "pydantic": "EmailStr NameEmail",
            "pydantic_extra_types": "PhoneNumber PhoneNumberValidator",
            "phonenumbers": "PhoneNumber",
        },
        unless="wallet memory contract url bind server host listen base mac ip node",
    ),
    _rule(
        "personal_identifiers",
        "passport, passport number, passport no, national id, tax id, tin, driver license, "
        "drivers license, license number, licence number, first name, last name, surname, "
        "full name, family name, given name, middle name, maiden name, date of birth, dob, "
        "birth date, birthdate, birthday, aadhaar, nhs number",
    ),
    _rule(
        "financial_information",
        "iban, bic, swift, card number, credit card, debit card, card no, account number, "
        "routing number, sort code, bank account, salary, income, credit score, account balance",
        types={
            "pydantic": "PaymentCardNumber",
            "pydantic_extra_types": "PaymentCardNumber ABARoutingNumber IBAN",
        },
    ),
    _rule(
        "health_and_medical",
        "diagnosis, diagnoses, medication, prescription, allergy, allergies, symptom, blood type, "
        "blood group, medical record, medical history, health record, disease, icd code, "
        "health condition, disability",
    ),
    _rule(
        "criminal_justice",
        "criminal record, conviction, arrest, offence, offense, felony, criminal history",
    ),
    _rule(
        "authentication_and_secrets",
        "session id, sessionid, username, user name, login, recovery email, security question, "
        "security answer",
    ),
    _rule(
        "minors_data",
        "child name, child age, children names, guardian, guardian name, pupil name, school grade",
    ),
    _rule(
        "behavioural_and_inferred",
        "browsing history, search history, purchase history, watch history, interest, "
        "user segment, churn score, click stream, clickstream",
    ),
    _rule(
        "gdpr_racial_or_ethnic_origin",
        "ethnicity, ethnic origin, race, racial origin, ethnic group",
    ),
    _rule(
        "gdpr_political_opinions",
        "political opinion, political party, party affiliation, political view, political belief",
    ),
    _rule(
        "gdpr_religious_or_philosophical_beliefs",
        "religion, religious belief, faith, denomination, philosophical belief",
    ),
    _rule(
        "gdpr_trade_union_membership",
        "trade union, union membership, union member, labor union, labour union",
    ),
    _rule(
        "gdpr_genetic_data",
        "genome, dna, genotype, genetic data, dna sequence, genetic marker",
    ),
    _rule(
        "gdpr_biometric_for_identification",
        "fingerprint, face embedding, iris scan, voiceprint, voice print, faceprint, biometric, "
        "retina scan",
    ),
    _rule(
        "gdpr_sex_life_or_sexual_orientation",
        "sexual orientation, sex life, sexual preference",
    ),
)

_BY_TYPE: Final[Mapping[tuple[str, str], str]] = {
    type_key: rule.category for rule in CATEGORY_RULES for type_key in rule.types
}


@lru_cache(maxsize=4096)
def category_of_name(name: str) -> str | None:
    """Return the data category that *name* shows, or `None`."""
    words = words_of(in_plain_letters(name))
    ends = tuple(name_endings(words))
    for rule in CATEGORY_RULES:
        if not rule.terms.isdisjoint(ends) and rule.unless.isdisjoint(words):
            return rule.category
    return None


def category_of_type(module: str, name: str) -> str | None:
    """Return the data category of values of the class *name* of *module*, or `None`."""
    return _BY_TYPE.get((module.partition(".")[0], name))
