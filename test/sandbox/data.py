"""Seeded, believable data: the same seed and size give the same resources.

Owns the resource objects. Each type is made when it is first asked for, from a generator of
its own, so that 100,000 third parties cost only what is looked at.
"""

import bisect
import datetime as dt
import gc
import itertools
import random

from catalogue import RESOURCES
from oddities import Made

COUNTRIES = ["DE", "US", "FR", "GB", "CN", "JP", "IN", "BR", "ZA", "AE", "RU", "MX", "KR", "PL",
             "GR", "NG", "IL", "TR"]
WEIGHTS = [18, 16, 9, 9, 8, 6, 6, 5, 3, 3, 3, 3, 3, 2, 2, 2, 1, 1]
STEMS = ["Acme", "Nordwind", "Blue Harbor", "Müller & Söhne", "Société Générale d'Équipement",
         "株式会社山田", "Иванов и партнёры", "شركة النور", "Ελληνικά Νησιά", "Σύγχρονη", "한국무역",
         "Globex", "Initech", "Umbrella", "O'Brien", 'The "Quality" Works', "Zażółć Gęślą",
         "Ağaoğlu", "परिवर्तन", "Oceanic", "Vandelay", "Wonka", "Stark", "Hooli"]
FORMS = [" GmbH", ", Inc.", " Ltd", " S.A.", " 有限公司", " LLC", "", " & Co. KG", ", S.A. de C.V.",
         " Oy", " (Holding)"]
TRAPS = ["null", "100% Ltd", "a/b & c=d", "back\\slash Co", "Emoji 🚀 Labs", " leading blank",
         "trailing blank ", "NULL", "comma,comma", "Under_score", "Semi;colon", "Plus+One", "%41"]
CITIES = ["Berlin", "São Paulo", "Kraków", "New York", "東京", "Paris", "Cape Town", "Dubai", ""]
STAGES = ["DDQ Invite", "Qualification", "Case Rejected", "Case Closed", "Budget Requested",
          "Budget Submitted", "Budget Rejected", "Draft", "Budget Approved",
          "Accepted by Investigator"]
CLOSED_STAGES = ("Case Closed", "Case Rejected")
REGIONS = ["Europe", "North America", "Latin America", "Asia", "Middle East", "Africa", "Oceania",
           "Global"]
DEPARTMENTS = ["IT", "HR", "Compliance", "Legal", "Sales", "Finance", "Procurement", "Marketing",
               "R&D", "Logistics"]
TYPES = ["Channel Partner", "Vendor", "Supplier", "Agent", "DO NOT ENGAGE"]
CATEGORIES = ["Reseller", "Partner", "Distributor", "Consultant", "Carrier", "Broker", "Law firm",
              "Bank", "Manufacturer", "Software", "Staffing", "Charity"]
CLOSE_CODES = [("01 - Incomplete Information provided in DDQ", "Pending", "DDQ"),
               ("02 - Red Flags Revealed in DDQ", "Closed", "DDQ and manual"),
               ("03 - Red Flags Revealed in Reference Checks", "Closed", "DDQ and manual"),
               ("04 - Relationship w/Partner Not Desired for Business Reason", "Closed", "DDQ and manual"),
               ("05 - Background Check not Required per our Due Diligence Policy", "Closed", "DDQ and manual"),
               ("06 - Budget Disagreement", "Closed", "DDQ and manual"),
               ("99 - Permanently Delete Case", "Deleted", "Manual")]
TERMS = [("Annual spend", "number"), ("Tier", "select"), ("Contract owner", "text"),
         ("GDPR relevant", "select"), ("Notes", "text"), ("Sites", "multiselect")]
HTML = ["<p>Checked &amp; approved.</p>", "<b>Escalated</b> to legal", "plain text, two words",
        "line one\nline two", "", "<ul><li>one</li><li>two</li></ul>"]
# how likely each status of a word list is; a real portfolio is mostly quiet
CHOICES = {
    "status": (["Active", "Inactive"], [83, 17]),
    "approval_status": (["Approved", "Pending", "Denied", "Denied for Compliance Reasons"],
                        [70, 22, 5, 3]),
    "scope": ([None, "OSI", "EDD", "Internal review", ""], [35, 35, 15, 13, 2]),
    "case_type": (["Prospective", "Current", None], [50, 40, 10]),
    "relationship_type": (["Agent", "Reseller", "Joint venture", None], [3, 4, 1, 2]),
    "legal_form": (["Corporation", "Partnership", "Sole trader", None], [6, 2, 1, 1]),
    "origin": (["DDQ", "manual"], [6, 4]),
    "language": (["en", "de", "fr", "zh", "es"], [6, 2, 1, 1, 1]),
    "source": (["invitation", "intake form"], [8, 2]),
    "engine": (["gdc", "media"], [6, 4]),
    "list_category": (["PEP", "Sanctions", "Watchlists", "SOE", "ICIJ"], [4, 2, 2, 1, 1]),
    "adjudication": (["none", "False Positive", "True Match"], [3, 6, 1]),
    "kind": (["entity", "person"], [7, 3]),
    "direction": (["given", "received"], [5, 5]),
    "currency": (["EUR", "USD", "GBP"], [5, 4, 1]),
    "budget_currency": (["EUR", "USD", "GBP", None], [5, 4, 1, 2]),
    "training_type": (["Anti-bribery", "Data protection", "Code of conduct"], [5, 3, 2]),
    "state": (["Not Complete", "In Progress", "Complete", None], [3, 2, 5, 1]),
    "review_state": (["Needs Review", "Reviewed", None], [2, 5, 3]),
    "event": (["Login", "Profile viewed", "Status changed", "Report exported", "Case opened"],
              [5, 9, 2, 1, 2]),
    "role": (["Client Admin", "Client Manager", "Client User"], [1, 3, 8]),
    "content_type": (["application/pdf", "image/png", "text/plain"], [8, 1, 1]),
    "category": (["external", "internal", "mitigation", "approval"], [3, 3, 1, 1]),
    "trigger": (["Third Party Created", "Third Party Renewal", "Form Submission"], [5, 3, 2]),
    "task_type": (["Step", "Section", "Review", "Action"], [4, 3, 2, 1]),
    "decision": ([None, "Approved", "Denied"], [6, 3, 1]),
    "close_code": ([None, "02 - Red Flags Revealed in DDQ", "06 - Budget Disagreement"], [7, 2, 1]),
    "risk_area": (["Risk Rating", "Bribery", "Cyber"], [6, 2, 2]),
}
# the generator of each kind of attribute
MAKERS = {"text": "_s", "email": "_s", "country": "_s", "time": "_t", "date": "_d", "number": "_n",
          "integer": "_i", "boolean": "_b", "fields": "_j", "list": "_j"}
# how many there are: of lookups always, of the rest for each third party
FIXED = {"users": 40, "regions": 8, "departments": 10, "third_party_types": 5,
         "third_party_categories": 12, "case_close_codes": 7, "forms": 6, "risk_models": 5,
         "risk_tiers": 15, "custom_field_definitions": 6}
SHARES = {"third_parties": 1, "engagements": 0.4, "cases": 0.4, "questionnaires": 0.4, "notes": 0.4,
          "attachments": 0.2, "risk_assessments": 0.5, "screening_subjects": 0.3,
          "screening_hits": 0.4, "training_records": 0.2, "gifts": 0.15, "connections": 0.1,
          "compliance_items": 0.3, "questionnaire_answers": 0.4, "workflows": 0.2,
          "workflow_tasks": 0.4, "audit_events": 1, "email_logs": 0.3}
STATUSES = {"questionnaires": (["invited", "submitted", "rejected"], [3, 6, 1]),
            "workflows": (["Active", "Pending", "Complete"], [2, 1, 6]),
            "workflow_tasks": (["Active", "Pending", "Complete"], [2, 1, 6])}


def stamp(moment, millis=False):
    """ISO 8601 in UTC, as the sibling API writes it."""
    return moment.isoformat(timespec="milliseconds" if millis else "seconds") + "Z"


def stamp_at(now):
    """A moment of UTC as answers print it."""
    return stamp(now.replace(tzinfo=None), True)


def weighted(population, weights):
    """What pick() chooses from; adding the weights up at each choice would be slow."""
    return population, list(itertools.accumulate(weights))


def pick(rng, choice):
    """One of the population, as likely as its weight."""
    population, sums = choice
    return population[bisect.bisect(sums, rng.random() * sums[-1])]


CHOICES = {name: weighted(*choice) for name, choice in CHOICES.items()}
STATUSES = {name: weighted(*choice) for name, choice in STATUSES.items()}
COUNTRY = weighted(COUNTRIES, WEIGHTS)


class Dice(random.Random):
    """Integers without the care that cryptographers need; three times as fast."""

    def randint(self, least, most):
        return least + int(self.random() * (most - least + 1))

    def choice(self, population):
        return population[int(self.random() * len(population))]


class Data:
    """All resources of one sandbox."""

    def __init__(self, records, seed, today):
        self.records = records
        self.seed = seed
        self.today = today
        self.eve = dt.datetime.combine(today, dt.time(0))
        self.lists = {}

    def count(self, kind):
        """How many there are when a type is made."""
        return FIXED.get(kind) or max(1, int(self.records * SHARES[kind]))

    def all(self, kind):
        """The resource objects of a type, in insertion order."""
        if kind not in self.lists:
            self.lists[kind] = self._make(kind)
        return self.lists[kind]

    def _make(self, kind):
        rng = Dice(f"{self.seed}/{kind}")
        # what is made here stays: looking for garbage among it would take most of the time
        gc.disable()
        made = [self._object(kind, number, rng) for number in range(1, self.count(kind) + 1)]
        if kind == "third_parties":
            self._link(made, "engagements", rng)
            self._link(made, "cases", rng)
        gc.freeze()
        gc.enable()
        return made

    def _link(self, parents, child, rng):
        """To-many linkage that says the same as the children's own to-one."""
        by_parent = {}
        for resource in self.all(child):
            parent = resource["relationships"]["third_party"]["data"]
            if parent:
                by_parent.setdefault(parent["id"], []).append({"type": child, "id": resource["id"]})
        for parent in parents:
            parent["relationships"][child] = {"data": by_parent.get(parent["id"], [])}

    def _object(self, kind, number, rng):
        resource = RESOURCES[kind]
        self._created = self._moment(rng, 1500)
        attributes = {name: getattr(self, MAKERS[attribute.kind])(kind, name, number, rng)
                      for name, attribute in resource.attributes.items()}
        self._agree(kind, attributes, rng)
        relationships = {}
        for name, target in resource.to_one.items():
            optional = kind not in ("engagements", "risk_tiers") or name != "third_party"
            share = 0.25 if name in ("engagement", "case", "questionnaire", "training_record") else 0.93
            linked = not optional or rng.random() < share
            linkage = {"type": target, "id": str(rng.randint(1, self.count(target)))} if linked else None
            relationships[name] = {"data": linkage}
        for name, target in resource.to_many.items():
            if kind == "third_parties":
                relationships[name] = None  # filled by _link, in this place
                continue
            some = sorted(rng.sample(range(1, self.count(target) + 1), min(rng.randint(0, 3), self.count(target))))
            relationships[name] = {"data": [{"type": target, "id": str(n)} for n in some]}
        return {"type": kind, "id": str(number), "attributes": attributes,
                "relationships": relationships}

    def _moment(self, rng, days):
        before = dt.timedelta(seconds=int(rng.random() * days * 86400), milliseconds=-int(rng.random() * 1000))
        return self.eve - before

    def _s(self, kind, name, number, rng):
        if name == "status" and kind in STATUSES:
            return pick(rng, STATUSES[kind])
        if name == "category" and kind == "notes":
            return rng.choice(["mitigation", "approval", "", None])
        if name == "state" and kind != "compliance_items":
            return rng.choice([None, "BY", "NY", "", "SP"])
        if name == "role" and kind == "connections":
            return rng.choice(["owner", "subsidiary", "director"])
        if name in CHOICES:
            return pick(rng, CHOICES[name])
        if name in ("name", "title", "subject", "description", "file_name"):
            return self._name(kind, number, rng)
        if name in ("body", "details", "brief_note", "approval_reason", "remediation_reason", "reason", "answer"):
            return rng.choice(HTML + [None])
        special = getattr(self, f"_text_{name}", None)
        return special(number, rng) if special else f"{name.replace('_', ' ')} {rng.randint(1, 50)}"

    def _name(self, kind, number, rng):
        fixed = {"regions": REGIONS, "departments": DEPARTMENTS, "third_party_types": TYPES,
                 "third_party_categories": CATEGORIES, "case_close_codes": [c[0] for c in CLOSE_CODES]}
        if kind in fixed:
            return fixed[kind][(number - 1) % len(fixed[kind])]
        if rng.random() < 0.04:
            return rng.choice(TRAPS)
        stem = rng.choice(STEMS)
        middle = rng.choice(["", " Trading", " Logistics", " Systems", " " + str(rng.randint(2, 99))])
        return stem + middle + rng.choice(FORMS)

    def _text_profile_number(self, number, rng):
        return f"3P-{number:06d}"

    def _text_engagement_number(self, number, rng):
        return f"EN-{number:06d}"

    def _text_case_number(self, number, rng):
        return f"C-{number:06d}"

    def _text_internal_id(self, number, rng):
        # the one that api.md's example of an INSERT brings is left to it
        own = f"V-{10000 + number}" if number != 77 else None
        return pick(rng, ((own, None, ""), (85, 95, 100)))

    def _text_country(self, number, rng):
        return pick(rng, COUNTRY)

    def _text_city(self, number, rng):
        return rng.choice(CITIES + [None])

    def _text_stage(self, number, rng):
        return rng.choice(STAGES)

    def _text_reference(self, number, rng):
        return rng.choice([f"3P-{rng.randint(1, max(1, self.records)):06d}", f"C-{rng.randint(1, 500):06d}", None, ""])

    def _text_email(self, number, rng):
        return f"user{number}@example.com"

    def _text_contact_email(self, number, rng):
        return rng.choice([f"contact{number}@example.org", None, ""])

    def _text_postal_code(self, number, rng):
        return rng.choice([f"{rng.randint(1000, 99999)}", None, ""])

    def _text_recommended_scope(self, number, rng):
        return rng.choice(["OSI", "EDD", None])

    def _text_rating(self, number, rng):
        return rng.choice(["High", "Medium", "Low"])

    def _text_return_status(self, number, rng):
        return CLOSE_CODES[(number - 1) % len(CLOSE_CODES)][1]

    def _text_term(self, number, rng):
        return TERMS[(number - 1) % len(TERMS)][0]

    def _text_field_type(self, number, rng):
        return TERMS[(number - 1) % len(TERMS)][1]

    def _text_applies_to(self, number, rng):
        return "third_parties"

    def _text_url(self, number, rng):
        return f"https://news.example.com/{number}?a=1&b=2"

    def _text_download_url(self, number, rng):
        return f"https://files.example.com/{number}"

    def _i(self, kind, name, number, rng):
        if name == "size_bytes":
            return rng.randint(100, 5_000_000_000)
        if name in ("area_order",):
            return number
        if name == "score":
            return rng.randint(300, 800)
        return 0 if rng.random() < 0.7 else rng.randint(1, 9)

    def _n(self, kind, name, number, rng):
        if rng.random() < 0.08:
            return None
        if name in ("budget_amount", "amount"):
            return round(rng.random() * 20000, 2)
        return rng.randint(0, 1000) / 10

    def _b(self, kind, name, number, rng):
        if name == "contact_aware":
            return rng.choice([True, False, None])
        return rng.random() < 0.7

    def _t(self, kind, name, number, rng):
        if name == "created_at":
            return Made(stamp(self._created, rng.random() < 0.1))
        if name == "updated_at":
            later = self._created + (self.eve - self._created) * rng.random()
            return Made(stamp(later, rng.random() < 0.1))
        if name in ("occurred_at", "sent_at", "found_at", "assessed_at", "invited_at", "started_at"):
            return Made(stamp(self._moment(rng, 700)))
        return pick(rng, ((Made(stamp(self._moment(rng, 400))), None, ""), (70, 95, 100)))

    def _d(self, kind, name, number, rng):
        day = self.today + dt.timedelta(days=rng.randint(-200, 400))
        return pick(rng, ((day.isoformat(), None, ""), (80, 95, 100)))

    def _j(self, kind, name, number, rng):
        if name == "options":
            return ["one", "two", "three"][: rng.randint(0, 3)]
        values = {"Annual spend": [str(rng.randint(1, 900) * 1000)], "Tier": [rng.choice("ABC")],
                  "Contract owner": [], "Sites": ["Berlin", "Paris"][: rng.randint(0, 2)]}
        return [{"id": str(i + 1), "term": term, "value": values[term]}
                for i, (term, _) in enumerate(TERMS) if term in values and rng.random() < 0.7]

    def _agree(self, kind, attributes, rng):
        """Members that say something of each other must not contradict."""
        if "risk_rating" in attributes:
            score = attributes["risk_score"]
            attributes["risk_rating"] = (None if score is None else
                                         "High" if score >= 80 else "Medium" if score >= 40 else "Low")
        if kind == "cases":
            attributes["open"] = attributes["stage"] not in CLOSED_STAGES
            if attributes["open"]:
                attributes["closed_at"] = attributes["decision"] = None
            elif attributes["closed_at"] and attributes["closed_at"] < attributes["created_at"]:
                # moments are written alike, so their order as text is theirs; closed as soon as opened
                attributes["closed_at"], attributes["created_at"] = attributes["created_at"], attributes["closed_at"]
        if kind == "questionnaires" and attributes["status"] == "invited":
            attributes["submitted_at"] = None
