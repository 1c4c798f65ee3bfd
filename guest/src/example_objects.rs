//! Examples of secrets in JSON, which are told by the key they stand under or by their neighbours. They
//! are tests of `metadata`; not part of the component.

/// Metadata in which a key tells of a secret: JSON, and what must not be left of it.
#[rustfmt::skip]
pub(crate) static METADATA: &[(&str, &str)] = &[
    (r#"{"password":"hunter2"}"#, "hunter2"),
    (r#"{"Password":12345678}"#, "12345678"),
    (r#"{"api-key":["hunter2",{"x":"xyzzy"}]}"#, "xyzzy"),
    (r#"{"credentials":{"user":"me","pin":4711}}"#, "4711"),
    (r#"{"env":[{"name":"DB_PASSWORD","value":"hunter2"}]}"#, "hunter2"),
    (r#"{"jwk":{"kty":"RSA","n":"xx","d":"hunter2"}}"#, "hunter2"),
    (r#"{"auth":"Zx81kQ0pR7sT4uVw2yAb"}"#, "Zx81kQ0pR7sT4uVw2yAb"),
    (r#"{"pass\u200bword":"hunter2"}"#, "hunter2"),
    (r#"{"password=hunter2":1}"#, "hunter2"),
    (r#"{"dsn":"postgres://me:hunter2@db/x"}"#, "hunter2"),
    (r#"{"argv":["mysql","--password=hunter2"]}"#, "hunter2"),
    (r#"{"argv":["mysql","--password","hunter2"]}"#, "hunter2"),
    (r#"{"headers":{"Authorization":"Bearer hunter2"}}"#, "hunter2"),
    (r#"{"private_key":"-----BEGIN PRIVATE KEY-----\nhunter2"}"#, "hunter2"),
    (r#"{"pin":"0"}"#, "\"0\""),
    (r#"{"Password":"x"}"#, "\"x\""),
    (r#"{"db":{"pass":"x1"}}"#, "x1"),
    (r#"{"ｐａｓｓｗｏｒｄ":"x1"}"#, "x1"),
    (r#"{"пароль":"x1"}"#, "x1"),
    (r#"{"p\u0336assword":"x1"}"#, "x1"),
    (r#"{"token_old":"x1"}"#, "x1"),
    (r#"{"twilio":"0a1b2c3d4e5f60718293a4b5c6d7e8f9"}"#, "0a1b2c3d"),
    (r#"{"type":"service_account","private_key_id":"k","private_key":"-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n"}"#, "MIIEvQ"),
    (r#"{"response":"{\"access_token\": \"hunter2\", \"expires_in\": 3600}"}"#, "hunter2"),
    (r#"{"argv":["curl","-u","me:hunter2","https://x"]}"#, "hunter2"),
    (r#"{"Name":"DB_PASSWORD","Value":"hunter2"}"#, "hunter2"),
    (r#"{"headers":[["X-Api-Key","hunter2"]]}"#, "hunter2"),
    (r#"{"lines":["-----BEGIN RSA PRIVATE KEY-----","MIIxhunter2","-----END RSA PRIVATE KEY-----"]}"#, "hunter2"),
    (r#"{"argv":["curl","-ku","me:hunter2"]}"#, "hunter2"),
    (r#"{"auth":"me:hunter2"}"#, "hunter2"),
    (r#"{"argv":["sshpass","-p","hunter2","ssh","me@x"]}"#, "hunter2"),
    (r#"{"argv":["mysql","-uroot","-phunter2"]}"#, "hunter2"),
];
