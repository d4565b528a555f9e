"""The sandbox's OpenAPI 3.1 document, made from its catalogue and its settings."""

from catalogue import OPEN_WORDS, RESOURCES

MEDIA_TYPE = "application/vnd.api+json"

DESCRIPTIONS = {
    "third_parties": "Companies that are checked (3P Profiles)",
    "engagements": "Business that is done with a third party",
    "cases": "Due diligence on a third party",
    "questionnaires": "Questionnaires and intake forms that were sent",
    "users": "Users of Third-Party Manager",
    "notes": "Notes on third parties, engagements and cases",
    "attachments": "Files that were uploaded, without their content",
    "custom_field_definitions": "The tenant's own fields",
    "risk_assessments": "History of risk scores",
    "screening_hits": "Findings of the screening",
    "audit_events": "Who did what, and when",
    "email_logs": "Messages that were sent",
}

KINDS = {
    "text": {"type": "string"},
    "country": {"type": "string", "pattern": "^[A-Z]{2}$"},
    "email": {"type": "string", "format": "email"},
    "integer": {"type": "integer", "format": "int32"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "date-time"},
    "list": {"type": "array", "items": {"type": "string"}},
    "fields": {"type": "array", "items": {"type": "object", "required": ["id", "term", "value"], "properties": {
        "id": {"type": "string"}, "term": {"type": "string"}, "value": {"type": "array"}}}},
}

# members that the server sets in every resource that has them
ALWAYS = ("created_at", "updated_at")


def ref(part, name):
    return {"$ref": f"#/components/{part}/{name}"}


def words(name):
    """A name as people write it."""
    return name.replace("_", " ")


def attribute_schema(attribute):
    schema = dict(KINDS[attribute.kind], description=f"The {words(attribute.name)}")
    if attribute.long:
        schema["format"] = "int64"
    if attribute.name not in ALWAYS:
        schema["type"] = [schema["type"], "null"]
    if attribute.one_of:
        schema["enum"] = [*attribute.one_of, None]
    if attribute.read_only:
        schema["readOnly"] = True
    if attribute.unique:
        schema["x-unique"] = True
    return schema


def linkage(kind):
    return {"type": "object", "required": ["type", "id"], "properties": {
        "type": {"const": kind}, "id": {"type": "string"}}}


def relationship_schema(relationship):
    one = linkage(relationship.kind)
    data = {"type": "array", "items": one} if relationship.many else {"oneOf": [one, {"type": "null"}]}
    schema = {"type": "object", "required": ["data"], "properties": {"data": data},
              "description": f"The {words(relationship.name)}, of {words(relationship.kind)}"}
    if relationship.read_only:
        schema["readOnly"] = True
    return schema


def members(resource, body, update=False):
    """The schemas of attributes and relationships, whole or as a body may have them."""
    def wanted(member):
        return not (body and member.read_only) and not (update and member.immutable)

    made = {}
    for part, schema_of in (("attributes", attribute_schema), ("relationships", relationship_schema)):
        properties = {name: schema_of(member) for name, member in getattr(resource, part).items() if wanted(member)}
        if not properties:
            continue
        made[part] = {"type": "object", "properties": properties}
        always = [name for name in properties if name in ALWAYS]
        if always:
            made[part]["required"] = always
    return made


def resource_schemas(resource):
    """Everything under components/schemas that belongs to a type."""
    kind = {"const": resource.type}
    number = {"type": "string", "description": f"The identifier of one of the {words(resource.type)}"}
    schemas = {resource.type: {
        "type": "object", "required": ["type", "id"],
        "description": DESCRIPTIONS.get(resource.type, words(resource.type).capitalize()),
        "properties": {"type": kind, "id": number, **members(resource, False),
                       "links": {"type": "object", "properties": {"self": {"type": "string"}}}}}}
    for letter, name in (("C", "new"), ("U", "changed")):
        if letter in resource.ops:
            data = {"type": "object", "required": ["type"], "properties": {
                "type": kind, **members(resource, True, letter == "U")}}
            if letter == "U":
                data["properties"]["id"] = number
                data["required"] = ["type", "id"]
            schemas[f"{name}_{resource.type}"] = {"type": "object", "required": ["data"], "properties": {"data": data}}
    return schemas


def content(schema):
    return {"content": {MEDIA_TYPE: {"schema": schema}}}


def one(resource, description="The resource"):
    return {"description": description, **content(
        {"type": "object", "required": ["data"], "properties": {"data": ref("schemas", resource.type)}})}


def page(resource, settings):
    properties = {"data": {"type": "array", "items": ref("schemas", resource.type)}}
    if settings.links in ("object", "short"):
        properties["links"] = ref("schemas", "links")
    if not settings.no_total:
        properties["meta"] = {"type": "object", "properties": {
            "total_count": {"type": "integer"}, "total_pages": {"type": "integer"}}}
    return {"description": "A page of resources", **content(
        {"type": "object", "required": [name for name in properties if name != "meta"], "properties": properties})}


def parameter(name, schema, description):
    made = {"name": name, "in": "query", "schema": schema, "description": description}
    if schema["type"] == "array":
        made.update(style="form", explode=False)
    return made


def page_parameters(settings):
    offset, cursor = settings.pagination == "offset", settings.pagination == "cursor"
    size = {"type": "integer", "minimum": 1, "maximum": settings.page_max, "default": 50}
    made = [parameter("page[limit]" if offset else "page[size]", size, "Resources on a page")]
    if offset:
        return made + [parameter("page[offset]", {"type": "integer", "minimum": 0}, "Resources before the page")]
    if cursor:
        return made + [parameter("page[cursor]", {"type": "string"}, "As links.next gives it")]
    number = {"type": "string", "format": "byte"}
    if settings.pagination != "number_base64":
        number = {"type": "integer", **({"minimum": 0, "default": 0} if settings.first_page == "0" else {})}
    return made + [parameter("page[number]", number, "Which page")]


def filter_values(resource, name):
    if name == "open":
        return {"oneOf": [{"const": word, "title": "true" if value else "false"} for word, value in OPEN_WORDS.items()]}
    attribute = resource.attributes.get(name)
    return {"type": "boolean" if attribute and attribute.kind == "boolean" else "string"}


def filter_parameters(resource):
    made = [parameter(f"filter[{name}]", {"type": "array", "items": filter_values(resource, name)},
                      f"Only resources with one of these values as {words(name)}") for name in resource.promised]
    for name, member in resource.ranges.items():
        for side in ("start", "end"):
            made.append(parameter(f"filter[{name}][{side}]", {"type": "string", "format": "date-time"},
                                  f"The {side} of a range of {words(member)}, itself within"))
    return made


def list_parameters(resource, settings):
    return page_parameters(settings) + filter_parameters(resource) + [
        parameter("sort", {"type": "string"}, "Members to order by, with a minus for descending, separated by commas")]


def member_parameters(resource):
    made = [parameter(f"fields[{resource.type}]", {"type": "array", "items": {"type": "string"}}, "Members wanted")]
    if resource.relationships:
        names = {"type": "array", "items": {"enum": list(resource.relationships)}}
        made.append(parameter("include", names, "Relationships whose resources are wanted too"))
    return made


def path_items(resource, settings):
    """{path: item} of one type."""
    errors = {"default": ref("responses", "errors")}
    listed = {"parameters": member_parameters(resource), "get": {
        "summary": f"List {words(resource.type)}", "parameters": list_parameters(resource, settings),
        "responses": {"200": page(resource, settings), **errors}}}
    single = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                             *member_parameters(resource)],
              "get": {"summary": f"One of the {words(resource.type)}", "responses": {"200": one(resource), **errors}}}
    if "C" in resource.ops:
        listed["post"] = {"summary": f"Create one of the {words(resource.type)}",
                          "requestBody": {"required": True, **content(ref("schemas", f"new_{resource.type}"))},
                          "responses": {str(settings.post_status): one(resource, "Created"), **errors}}
    if "U" in resource.ops:
        for method in ("put", "patch"):
            single[method] = {"summary": f"Change one of the {words(resource.type)}",
                              "requestBody": {"required": True, **content(ref("schemas", f"changed_{resource.type}"))},
                              "responses": {str(settings.put_status): one(resource, "Changed"), **errors}}
    return {f"/{resource.type}": listed, f"/{resource.type}/{{id}}": single}


def document(settings):
    """The whole document."""
    link = {"type": ["string", "null"]}
    schemas = {"links": {"type": "object", "properties": dict.fromkeys(("self", "first", "prev", "next"), link)}}
    paths = {}
    for resource in RESOURCES.values():
        schemas.update(resource_schemas(resource))
        paths.update(path_items(resource, settings))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sandbox of Third-Party Manager", "version": "1"},
        "servers": [{"url": "/v1"}],
        "security": [{"oauth2": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"errors": {"description": "What is wrong", **content(
                {"type": "object", "properties": {"errors": {"type": "array", "items": {"type": "object"}}}})}},
            "securitySchemes": {"oauth2": {"type": "oauth2", "flows": {
                "clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}}}},
        },
    }
