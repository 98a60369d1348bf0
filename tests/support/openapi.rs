//! The API document, and what it is held to: every answer that any test gets.

use std::collections::BTreeSet;

use rocket::http::Method;
use rocket::local::asynchronous::Client;
use rocket::tokio::sync::OnceCell;
use serde_json::{Map, Value};

use super::app::Answer;

/// The document.
pub struct Document(pub Value);

/// What screening refuses before anybody has looked at the method.
const SCREENING: [u16; 4] = [400, 403, 414, 431];

impl Document {
    /// The document, asked for once.
    pub async fn of(client: &Client) -> &'static Self {
        static DOCUMENT: OnceCell<Document> = OnceCell::const_new();
        let ask = || async {
            let request =
                client.get("/openapi.json").header(rocket::http::Header::new("Host", "a"));
            let text = request.dispatch().await.into_string().await.unwrap();
            Self(serde_json::from_str(&text).unwrap())
        };
        DOCUMENT.get_or_init(ask).await
    }

    /// Every operation: method, path, and what the document says of it.
    pub fn operations(&self) -> Vec<(String, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                let item = item.as_object().unwrap();
                item.iter().map(|(method, says)| (method.to_uppercase(), path.as_str(), says))
            })
            .collect()
    }

    /// What is wrong with an answer, by what the document says; nothing for a path that it does
    /// not name.
    pub fn faults(&self, method: Method, path: &str, answer: &Answer) -> Vec<String> {
        let path = path.split('?').next().unwrap();
        let mut found = self.operations();
        found.retain(|(_, template, _)| is_one_of(template, path));
        if found.is_empty() {
            return Vec::new();
        }
        let method = if method == Method::Head { Method::Get } else { method };
        let Some((_, _, operation)) = found.iter().find(|(name, ..)| name == method.as_str())
        else {
            let is_refused = answer.status == 405
                || answer.status == 204 && method == Method::Options
                || SCREENING.contains(&answer.status);
            let fault = format!("{method} is answered, and not documented");
            return if is_refused { Vec::new() } else { vec![fault] };
        };
        let response = &operation["responses"][answer.status.to_string()];
        let Some(response) = self.resolve(response).as_object() else {
            return vec![format!("the status {} is not documented", answer.status)];
        };
        let mut faults = self.field_faults(response, answer);
        faults.extend(self.body_faults(response, answer));
        if let Some(challenge) = answer.field("WWW-Authenticate")
            && let Some((_, rest)) = challenge.split_once("scope=\"")
            && !operation["security"].to_string().contains(rest.trim_end_matches('"'))
        {
            faults.push(format!("{challenge} asks for another scope"));
        }
        faults
    }

    /// A field that the document knows must be one that this answer may have.
    fn field_faults(&self, response: &Map<String, Value>, answer: &Answer) -> Vec<String> {
        let lower = |response: &Value| -> Vec<String> {
            let fields = response["headers"].as_object();
            fields.into_iter().flat_map(Map::keys).map(|name| name.to_lowercase()).collect()
        };
        let operations = self.operations();
        let responses = operations.iter().flat_map(|(_, _, o)| o["responses"].as_object().unwrap());
        let known: BTreeSet<String> =
            responses.flat_map(|(_, response)| lower(self.resolve(response))).collect();
        let here = lower(&Value::Object(response.clone()));
        let names = answer.field_names();
        let undocumented =
            names.iter().filter(|name| known.contains(*name) && !here.contains(name));
        undocumented.map(|name| format!("the header field {name} is not documented")).collect()
    }

    fn body_faults(&self, response: &Map<String, Value>, answer: &Answer) -> Vec<String> {
        let Some(content_type) = answer.field("Content-Type") else {
            let is_empty = answer.body.is_empty();
            return if is_empty { vec![] } else { vec!["a body without a type".to_owned()] };
        };
        let media = content_type.split(';').next().unwrap();
        let content = response.get("content").and_then(Value::as_object);
        let content = content.and_then(|content| content.get(media).or(content.get("*/*")));
        let Some(content) = content else {
            return vec![format!("a body of type {media} is not documented")];
        };
        if answer.body.is_empty() || !media.ends_with("json") {
            return Vec::new();
        }
        match serde_json::from_slice(&answer.body) {
            Ok(value) => self.schema_faults(&content["schema"], &value),
            Err(error) => vec![format!("the body is no JSON: {error}")],
        }
    }

    /// Where a value is not what a schema says. Every member must be one that the schema names.
    fn schema_faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().filter(|one| self.schema_faults(one, value).is_empty());
            return if fits.count() == 1 {
                vec![]
            } else {
                vec![format!("{value} is none of them")]
            };
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return self.schema_faults(&self.merged(parts), value);
        }
        let mut faults = Vec::new();
        let kinds = match &schema["type"] {
            Value::String(kind) => vec![kind.as_str()],
            Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
            _ => vec![kind(value)],
        };
        let is_number = kinds.contains(&"number") && value.is_number();
        if !is_number && !kinds.contains(&kind(value)) {
            faults.push(format!("{value} is no {kinds:?}"));
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.contains(value)
        {
            faults.push(format!("{value} is none of {values:?}"));
        }
        if let Some(values) = value.as_array() {
            faults.extend(values.iter().flat_map(|v| self.schema_faults(&schema["items"], v)));
        }
        if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object())
        {
            for (name, value) in members {
                match known.get(name) {
                    Some(schema) => faults.extend(self.schema_faults(schema, value)),
                    None => faults.push(format!("the member {name} is not documented")),
                }
            }
            let required = schema["required"].as_array().into_iter().flatten();
            let missing = required.filter(|name| !members.contains_key(name.as_str().unwrap()));
            faults.extend(missing.map(|name| format!("the member {name} is missing")));
        }
        faults
    }

    /// One object schema of several.
    fn merged(&self, parts: &[Value]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for part in parts {
            let part = self.resolve(part);
            properties.extend(part["properties"].as_object().unwrap().clone());
            required.extend(part["required"].as_array().into_iter().flatten().cloned());
        }
        serde_json::json!({ "type": "object", "properties": properties, "required": required })
    }

    /// What stands where a reference points to.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).expect("it is there"),
            None => value,
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether a path is one that a template such as `/users/{name}` stands for.
fn is_one_of(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) =
        (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(pattern, segment)| {
            if pattern.starts_with('{') { !segment.is_empty() } else { pattern == segment }
        })
}
