"""The resources of the API: members, relationships, filters, order and operations.

Owns the contract of api.md section 3 and nothing else; every other module asks here
which names exist and what they may be used for.
"""

from dataclasses import dataclass, field

# One line a member: `name kind [flags]` for attributes, `@name type [flags]` for
# relationships, `filters ...` for what a list can be filtered by.
DEFINITIONS = """
third_parties RCU
  profile_number text ro
  internal_id text unique
  name text required
  status text one_of=Active|Inactive
  approval_status text one_of=Pending|Approved|Denied|Denied_for_Compliance_Reasons
  approval_reason text
  approval_status_changed_at time ro
  street_address text
  city text
  state text
  postal_code text
  country country required
  contact_name text
  contact_email email
  contact_phone text
  risk_rating text ro
  risk_score number ro
  recommended_scope text ro
  unreviewed_hits integer ro
  hits_to_remediate integer ro
  next_renewal_on date
  custom_fields fields
  created_at time ro
  updated_at time ro
  @third_party_type third_party_types
  @third_party_category third_party_categories
  @region regions
  @department departments
  @owner users
  @engagements engagements many ro
  @cases cases many ro
  filters id profile_number internal_id name status approval_status country risk_rating third_party_type.id third_party_category.id region.id department.id owner.id
  lists notes cases regions

engagements RCU
  engagement_number text ro
  name text required
  status text one_of=Active|Inactive
  approval_status text one_of=Pending|Approved|Denied|Denied_for_Compliance_Reasons
  approval_reason text
  approval_status_changed_at time ro
  street_address text
  city text
  state text
  postal_code text
  country country
  risk_rating text ro
  risk_score number ro
  custom_fields fields
  created_at time ro
  updated_at time ro
  @third_party third_parties required immutable
  @third_party_type third_party_types
  @third_party_category third_party_categories
  @region regions
  @department departments
  @owner users
  filters id third_party.id status approval_status risk_rating

cases RCU
  case_number text ro
  name text
  stage text
  open boolean ro
  scope text
  case_type text
  relationship_type text
  legal_form text
  origin text
  decision text
  close_code text
  brief_note text
  contact_aware boolean
  budget_amount number
  budget_currency text
  due_on date
  requested_at time
  completed_at time
  closed_at time
  custom_fields fields
  created_at time ro
  updated_at time ro
  @third_party third_parties
  @engagement engagements
  @questionnaire questionnaires
  @requester users
  @investigator users
  @region regions
  @department departments
  @third_party_type third_party_types
  @third_party_category third_party_categories
  filters id case_number stage open third_party.id engagement.id requester.id region.id department.id scope

questionnaires RC
  form_name text
  form_version text
  language text
  source text
  status text
  unexpected_answers integer
  needs_review integer
  invited_at time
  submitted_at time
  created_at time ro
  updated_at time ro
  @form forms required
  @case cases
  @third_party third_parties
  @engagement engagements
  filters id status third_party.id case.id form.id

users R
  email text
  first_name text
  last_name text
  role text
  active boolean
  created_at time ro
  @regions regions many
  @departments departments many
  filters id email role

notes RC
  subject text
  body text required
  category text
  created_at time ro
  @author users
  @third_party third_parties
  @engagement engagements
  @case cases
  filters id third_party.id engagement.id case.id

attachments R
  file_name text
  content_type text
  size_bytes integer long
  description text
  download_url text
  created_at time ro
  @uploaded_by users
  @third_party third_parties
  @case cases
  @training_record training_records
  filters id case.id third_party.id

regions R
  name text
  active boolean

departments R
  name text
  active boolean

third_party_types R
  name text
  active boolean

third_party_categories R
  name text
  active boolean
  score integer
  @third_party_type third_party_types

case_close_codes R
  name text
  return_status text
  origin text
  active boolean

forms R
  name text
  description text
  category text
  version text
  active boolean

risk_models R
  name text
  risk_area text
  area_order integer
  active boolean
  @third_party_type third_party_types
  @third_party_categories third_party_categories many

risk_tiers R
  name text
  start_score number
  scope text
  @risk_model risk_models

custom_field_definitions R
  applies_to text
  term text
  field_type text
  options list
  required boolean

risk_assessments R
  risk_area text
  score number
  rating text
  assessed_at time
  current boolean
  @third_party third_parties
  @engagement engagements
  @risk_model risk_models
  filters third_party.id current

screening_subjects R
  name text
  kind text
  pending integer
  to_remediate integer
  last_screened_at time
  @third_party third_parties
  filters third_party.id

screening_hits RU
  engine text ro
  list_category text ro
  title text ro
  url text ro
  relevancy number ro
  adjudication text one_of=True_Match|False_Positive|none
  reason text
  remediated boolean
  remediation_reason text
  found_at time ro
  adjudicated_at time ro
  @screening_subject screening_subjects ro
  @third_party third_parties ro
  @adjudicated_by users ro
  filters third_party.id engine adjudication

training_records RCU
  name text required
  training_type text
  provided_on date
  location text
  created_at time ro
  @third_party third_parties required
  @engagement engagements
  @attachments attachments many
  filters third_party.id training_type

gifts RCU
  description text required
  kind text
  direction text one_of=given|received
  amount number
  currency text
  given_on date
  approval_status text one_of=Pending|Approved|Denied
  @third_party third_parties required
  @engagement engagements
  @requester users
  @approver users
  filters third_party.id approval_status

connections RC
  role text
  created_at time ro
  @third_party third_parties required
  @engagement engagements
  @associated_third_party third_parties required
  filters third_party.id

compliance_items R
  name text
  state text
  completed_at time
  @third_party third_parties
  filters third_party.id state

questionnaire_answers R
  question_key text
  question text
  answer text
  unexpected boolean
  review_state text
  @questionnaire questionnaires
  @case cases
  filters questionnaire.id case.id

workflows R
  name text
  trigger text
  status text
  started_at time
  due_at time
  completed_at time
  @third_party third_parties
  @case cases
  filters third_party.id status

workflow_tasks RU
  name text ro
  task_type text ro
  status text one_of=Active|Pending|Complete
  queue text
  due_at time
  completed_at time
  @workflow workflows ro
  @owner users
  filters workflow.id owner.id status

audit_events R
  occurred_at time
  event text
  reference text
  details text
  @user users
  @third_party third_parties
  @case cases
  filters user.id event reference
  range occurred_at

email_logs R
  sent_at time
  sender text
  recipient text
  subject text
  reference text
  @third_party third_parties
  @engagement engagements
  filters third_party.id
  range sent_at
"""

# Words that the case list knows in place of true and false (api.md 2.3).
OPEN_WORDS = {"Only Open Cases": True, "Only Closed Cases": False}

SORTABLE_KINDS = ("number", "integer", "time", "date")


@dataclass
class Attribute:
    """One member of `attributes`; `at` is its place in a row's values."""

    name: str
    kind: str
    at: int
    read_only: bool = False
    required: bool = False
    unique: bool = False
    one_of: tuple = ()
    long: bool = False
    many = False
    immutable = False


@dataclass
class Relationship:
    """One member of `relationships`; `kind` is the type it points to."""

    name: str
    kind: str
    at: int
    many: bool = False
    read_only: bool = False
    required: bool = False
    immutable: bool = False
    unique = False
    one_of = ()


@dataclass
class Resource:
    """One JSON:API type and everything that requests may name on it.

    `promised` are the filters of api.md, `filters` those that there are.
    """

    type: str
    ops: str
    attributes: dict = field(default_factory=dict)
    relationships: dict = field(default_factory=dict)
    filters: tuple = ()
    promised: tuple = ()
    range: str = ""
    lists: tuple = ()

    def member(self, name):
        """The attribute or relationship of that name, or None."""
        return self.attributes.get(name) or self.relationships.get(name)

    def sortable(self, name):
        """Whether `sort` may name it: the id, numbers, times, names and their like."""
        attribute = self.attributes.get(name)
        if attribute is None:
            return name == "id"
        return attribute.kind in SORTABLE_KINDS or name.endswith(("name", "_number", "email"))

    @property
    def to_one(self):
        """{name: type} of the relationships to at most one resource."""
        return {name: r.kind for name, r in self.relationships.items() if not r.many}

    @property
    def to_many(self):
        """{name: type} of the relationships to any number of resources."""
        return {name: r.kind for name, r in self.relationships.items() if r.many}

    @property
    def ranges(self):
        """{filter: attribute} of filters that take a start and an end."""
        return {"date": self.range} if self.range else {}

    def width(self):
        """How many values a row has."""
        return len(self.attributes) + len(self.relationships)


def _parse(text):
    resources = {}
    for block in text.strip().split("\n\n"):
        head, *lines = block.split("\n")
        resource = Resource(*head.split())
        for line in lines:
            name, *words = line.split()
            if name == "filters":
                # every list knows its resources by id, whatever it promises
                resource.promised = tuple(words)
                resource.filters = tuple(dict.fromkeys(["id", *words]))
            elif name == "range":
                resource.range = words[0]
            elif name == "lists":
                resource.lists = tuple(words)
            else:
                _add_member(resource, name, words)
        resource.filters = resource.filters or ("id",)
        resources[resource.type] = resource
    return resources


def _add_member(resource, name, words):
    kind, *flags = words
    choices = [flag[len("one_of="):] for flag in flags if flag.startswith("one_of=")]
    common = {
        "at": resource.width(),
        "read_only": "ro" in flags,
        "required": "required" in flags,
    }
    if name.startswith("@"):
        resource.relationships[name[1:]] = Relationship(
            name[1:], kind, many="many" in flags, immutable="immutable" in flags, **common)
    else:
        one_of = tuple(choices[0].replace("_", " ").split("|")) if choices else ()
        resource.attributes[name] = Attribute(
            name, kind, unique="unique" in flags, long="long" in flags, one_of=one_of, **common)


RESOURCES = _parse(DEFINITIONS)
