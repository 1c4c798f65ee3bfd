//! Examples of secrets, rule by rule, and of ordinary text that looks a little like one.
//!
//! They are tests of the rules, and what the property tests and fuzz targets plant. Tokens are put
//! together from halves, so that no scanner of repositories takes this file for a leak. Not part of
//! the component.

use crate::tokens::{Body, TOKENS, Token};

/// A token of this kind whose body has `len` characters.
pub(crate) fn token_sample(token: &Token, len: usize) -> String {
    let alphabet = match token.body {
        Body::Upper => "A2BC3DE4",
        Body::Hex | Body::Uuid => "0a1b2c3d",
        Body::Alnum | Body::Word | Body::Mixed | Body::Dotted | Body::Base64 => "aB3dE5gH1cD7",
    };
    token.prefix.chars().chain(alphabet.chars().cycle().take(len)).collect()
}

/// Secrets that are told by themselves, whatever stands around them: every token of the table, and the
/// examples of rules that need no key beside the secret. Text, and what must not be left of it.
pub fn planted(number: usize) -> (String, String) {
    // The others need their surroundings.
    #[rustfmt::skip]
    const BESIDE: [&str; 7] = [
        "pgpass-line", "key-value", "option-credentials", "piped-password", "oracle-credentials", "bearer", "call-argument",
    ];
    let examples = EXAMPLES.iter().filter(|e| !BESIDE.contains(&e.rule));
    let examples: Vec<_> = examples.flat_map(|example| example.secrets).collect();
    let number = number % (TOKENS.len() + examples.len());
    match TOKENS.get(number) {
        Some(token) => {
            let secret = token_sample(token, token.body_min.into());
            (secret.clone(), secret)
        }
        None => {
            let (text, secret) = examples.get(number - TOKENS.len()).copied().unwrap_or(&("", ""));
            ((*text).to_owned(), (*secret).to_owned())
        }
    }
}

/// Examples of one rule.
pub struct Example {
    /// Name of the rule.
    pub rule: &'static str,
    /// Text with a secret in it, and what must not be left of it.
    pub secrets: &'static [(&'static str, &'static str)],
    /// Ordinary text in which no rule may find anything.
    pub ordinary: &'static [&'static str],
}

/// Examples of the rules of `rules`; those of `tokens` are made from their table.
#[rustfmt::skip]
pub static EXAMPLES: &[Example] = &[
    Example {
        rule: "private-key",
        secrets: &[
            (concat!("-----BEGIN RSA PRIV", "ATE KEY-----\nMIIEowIBAAKCAQEA7\nabc=\n-----END RSA PRIVATE KEY-----"), "MIIEowIBAAKCAQEA7"),
            (concat!("key: -----BEGIN OPENSSH PRIV", "ATE KEY----- b3BlbnNzaC1rZXk cut off"), "b3BlbnNzaC1rZXk"),
            (concat!("-----BEGIN PRIV", "ATE KEY-----\\nMIIEvQIBADAN\\n-----END PRIVATE KEY-----\\n"), "MIIEvQIBADAN"),
            (concat!("-----BEGIN PGP PRIV", "ATE KEY BLOCK----- lQOYBF3 -----END PGP PRIVATE KEY BLOCK-----"), "lQOYBF3"),
            (concat!("PuTTY-User-", "Key-File-3: ssh-rsa Private-Lines: 14 AAABAQC4 Private-MAC: 5f"), "AAABAQC4"),
            (concat!("---- BEGIN SSH2 ENCRYPTED PRIV", "ATE KEY ----\nComment: x\nP2/56wAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----"), "P2/56wAA"),
            (concat!("-----BEGIN OpenVPN Static", " key V1----- 0a1b2c3d4e5f -----END OpenVPN Static key V1-----"), "0a1b2c3d4e5f"),
            (concat!("-----BEGIN ENCRYPTED PRIV", "ATE KEY-----MIIFHDBO-----END ENCRYPTED PRIVATE KEY-----"), "MIIFHDBO"),
            (concat!("-----BEGIN EC PRIV", "ATE KEY----- THE END OF MHcCAQEE -----END EC PRIVATE KEY-----"), "MHcCAQEE"),
        ],
        ordinary: &["BEGIN PRIVATE KEY", "THE END OF -----BEGIN X509 CRL----- THE BEGIN -----END X509 CRL-----", "-----BEGIN CERTIFICATE----- MIIDdzCCAl -----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "----- PRIVATE KEY -----"],
    },
    Example {
        rule: "jwt",
        secrets: &[
            (
                "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..Q2hpcGhlclRleHQ.aGVsbG93b3JsZHRoaXNpc2E.c29tZXRhZ3ZhbHVl",
                "aGVsbG93b3JsZHRoaXNpc2E",
            ),
            (concat!("eyJhbGciOiJIUzI1", "NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w"), "eyJzdWIiOiIxMjM0In0"),
            (concat!("x=eyJhbGciOiJub25l", "In0.eyJzdWIiOiIxIn0."), "eyJzdWIiOiIxIn0"),
            (concat!("eyJhbGciOiJSU0EtT0FFUCJ9", ".OKOawDo13gRp2.48V1_ALb6US04U3b.5eym8TW_c8SuK0lt.XFBoMYUZodetZdvT"), "5eym8TW_c8SuK0lt"),
        ],
        ordinary: &["eyJhbGciOiJIUzI1NiJ9...", "eyJ is how base64 of an object begins", "eyJhbGciOiJIUzI1NiJ9", "survey.journey.eye"],
    },
    Example {
        rule: "mailgun-key",
        secrets: &[("mg 0a1b2c3d4e5f60718293a4b5c6d7e8f9-0a1b2c3d-4e5f6071", "8293a4b5c6d7e8f9-0a1b2c3d")],
        ordinary: &["0a1b2c3d4e5f60718293a4b5c6d7e8f9", "550e8400-e29b-41d4-a716-446655440000"],
    },
    Example {
        rule: "wallet-key",
        secrets: &[
            (concat!("L4rK1yDtCWekvXuE6oXD9jCYfFNV", "2cWRpVuPLBcCU2z8TrisoyY1"), "FNV2cWRpVuPLBcCU2z8T"),
            (concat!("import 5HueCGU8rMjxEXxiPuD5BDk", "u4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"), "FqeZyd4dZ1jvhTVqvb"),
        ],
        ordinary: &["Loremipsumdolorsitametconsecteturadipiscingelitsedd", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"],
    },
    Example {
        rule: "firebase-key",
        secrets: &[(concat!("AAAAjKmAMhj:APA", "91bkHWGgbgek8HF0DNBZZdPaRXLujTpwrkcrOg258LewmCNybdo4zLW9cCdNppock7L2lua530DtAMq94F8epRyRTLoAtz4TFbY3pflkwyla4szJxhvI3yv"), "kHWGgbgek8HF0DNBZZdP")],
        ordinary: &["AAAA:APA91b", ":APA91b is how they begin"],
    },
    Example {
        rule: "asana-token",
        secrets: &[("asana 1/1200000000000000:0a1b2c3d4e5f60718293a4b5c6d7e8f9", "4e5f60718293a4b5c6d7e8f9")],
        ordinary: &["image/1200000000000000:latest", "a/12:0a1b2c3d4e5f60718293a4b5c6d7e8f9", "md5:0a1b2c3d4e5f60718293a4b5c6d7e8f9"],
    },
    Example {
        rule: "pgpass-line",
        secrets: &[("db.example.org:5432:app:me:hunter2", "hunter2"), ("*:*:*:postgres:hunter2", "hunter2")],
        ordinary: &["10.0.0.1:5432:app:ok", "root:x:0:0:root:/root:/bin/sh", "src/a.py:12:34:error:bad", "arn:aws:iam::1:role"],
    },
    Example {
        rule: "password-hash",
        secrets: &[
            (concat!("root:$6$", "rounds=5000$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO"), "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO"),
            (concat!("$2b$", "12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"), "R9h/cIPz0gi"),
            (concat!("$argon2id$", "v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub"), "RdescudvJCsgt3ub"),
        ],
        ordinary: &["costs $5$ or $6$", "awk '{print $1$2}'", "$HOME/$USER"],
    },
    Example {
        rule: "azure-client-secret",
        secrets: &[(concat!("abc8", "Q~dEfGhIjKlMnOpQrStUvWxYz0123456789ABCD"), "dEfGhIjKlMnOpQrStUvWxYz")],
        ordinary: &["abc8Q~short", "~/notes~8Q~"],
    },
    Example {
        rule: "azure-key",
        secrets: &[
            (concat!("AzureWebJobs=aB3dE5gH1cD7jK9mN0pQ2sT4vW6y", "AzFuZ8xC5vB7nM2lK9jH6gF4"), "aB3dE5gH1cD7jK9mN0pQ2sT4vW6y"),
            (concat!("az repos aB3dE5gH1cD7jK9mN0pQ2sT4vW6yaB3dE5gH1cD7jK9mN0", "JQQJ99BHACAAAAAAArohCAAASAZDOqR3s"), "aB3dE5gH1cD7jK9mN0"),
            (concat!("x aB3dE5gH1cD7jK9mN0pQ2sT4vW6yaB3dE5gH/cD7jK9mN0pQ2sT4vW6yaB3dE5gH1cD7jK9mN0", "+AStqR3s4T5u== y"), "aB3dE5gH1cD7jK9mN0"),
        ],
        ordinary: &["APIM gateway", "/home/me/projects/company/services7/AzFunctions/src/main", "/srv/ACDb/data"],
    },
    Example {
        rule: "mailchimp-key",
        secrets: &[(concat!("mc 0a1b2c3d4e5f60718293a4b5", "c6d7e8f9-us12"), "0a1b2c3d4e5f60718293a4b5")],
        ordinary: &["s3-us-west-2", "en-us", "the-us12-route"],
    },
    Example {
        rule: "maxmind-key",
        secrets: &[(concat!("aB3dE5_aB3dE5gH1cD7jK9mN0p", "Q2sT4vW6yZ_mmk"), "aB3dE5gH1cD7jK9mN0p")],
        ordinary: &["lib_mmk", "the _mmk mark"],
    },
    Example {
        rule: "newrelic-key",
        secrets: &[(concat!("0a1b2c3d4e5f60718293a4b5c6d7", "e8f9FFFFNRAL"), "0a1b2c3d4e5f60718293a4b5c6d7")],
        ordinary: &["GENERAL", "MINERAL WATER"],
    },
    Example {
        rule: "paypal-token",
        secrets: &[(concat!("access_token$produc", "tion$x0lb4r69dvmmnufd$3ea7cb281754b7da7dac131ef5783321"), "3ea7cb281754b7da7dac131ef5783321")],
        ordinary: &["access_token$", "$access_token$name"],
    },
    Example {
        rule: "salesforce-session",
        secrets: &[(concat!("00D50000000IZ3Z", "!AQ0AQDpEDKYsn7ioKug2aSmgCjgrPjG9eRLza8jXWoW7uA90V39rvQaIy1FGxjFHN1ZtusBGljncdEi8eRiuit1QdQ1Z2KSV"), "AQ0AQDpEDKYsn7ioKug2aSmgCjgr")],
        ordinary: &["hey!AQ", "wow!AQ it works"],
    },
    Example {
        rule: "telegram-token",
        secrets: &[(concat!("bot 110201543:", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"), "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0")],
        ordinary: &["12:AA", "address fe80::1:AA00", "mac 00:AA:BB:CC"],
    },
    Example {
        rule: "discord-token",
        secrets: &[(concat!("MTk4NjIyNDgzNDcxOTI1", "MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"), "ZnCjm1XVW7vRze4b7Cq4se7kKWs")],
        ordinary: &["Module.method.call", "org.example.package"],
    },
    Example {
        rule: "terraform-token",
        secrets: &[(concat!("aB3dE5gH7jK9mN.atlas", "v1.x1Y2z3A4b5C6d7E8f9G0h1I2j3K4l5M6n7O8p9Q0r1S2t3U4v5W6"), "x1Y2z3A4b5C6d7E8f9G0")],
        ordinary: &["the .atlasv1. mark", "mongodb.atlasv1.yaml"],
    },
    Example {
        rule: "vault-service-token",
        secrets: &[(concat!("vault login s.", "F6n2Kq8LxZ3vB7mW1pT5yR9d"), "F6n2Kq8LxZ3vB7mW1pT5yR9d")],
        ordinary: &["s.addEventListenerOptionsBag", "s.F6n2Kq8LxZ3vB7mW1pT5yR9", "https://s.example.org/a"],
    },
    Example {
        rule: "aws-secret-key",
        secrets: &[(concat!("AKIA", "IOSFODNN7EXAMPLE,wJalrXUtnFEMI/K7MDENG/", "bPxRfiCYEXAMPLEKEY"), "wJalrXUtnFEMI/K7MDENG")],
        ordinary: &["commit 3f786850e387550fdab836ed7e6dc881de23001b", "/usr/share/Application7/DataSets/Number/9x"],
    },
    Example {
        rule: "url-userinfo",
        secrets: &[("me:hunter2@tcp(127.0.0.1:3306)/db", "hunter2"), ("{\\\"dsn\\\":\\\"postgres:\\/\\/me:hunter2@h\\/db\\\"}", "hunter2"),
            ("https://user:hunter2@example.org/x", "hunter2"),
            ("postgres://app:p%40ss-w0rd@db:5432/main?sslmode=require", "p%40ss-w0rd"),
            ("amqp://u:p@ss/w0rd#x@host/vhost", "w0rd"),
            ("redis://:s3cr3t-value@cache:6379/0", "s3cr3t-value"),
            ("git clone https://Zx81kQ0pR7sT4uVw2yAb@git.example.org/a.git", "Zx81kQ0pR7sT4uVw2yAb"),
            ("mongodb+srv://root:corr@ct@cluster0.example.net/?w=majority", "corr@ct"),
        ],
        ordinary: &[
            "http://[::1]:4873/@scope/pkg",
            "ssh://git@example.org/repo.git", "http://localhost:8080/@scope/pkg", "https://example.org/a:b/@c",
            "see https://example.org/~me?mail=a@b.c", "git@example.org:team/repo.git", "https://example.org:8443/x",
        ],
    },
    Example {
        rule: "webhook-url",
        secrets: &[
            (concat!("https://hooks.slack.com/", "services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"), "XXXXXXXXXXXXXXXXXXXXXXXX"),
            (concat!("curl https://discord.com/", "api/webhooks/1234/abcdEFGH-ijkl"), "abcdEFGH-ijkl"),
        ],
        ordinary: &["https://hooks.slack.com/", "https://discord.com/api/users/1"],
    },
    Example {
        rule: "bearer",
        secrets: &[("sent Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"), ("sent Bearer abcdef123456 along", "abcdef123456"), ("Basic dXNlcjpwYXNz0w==", "dXNlcjpwYXNz0w")],
        ordinary: &["basic Python3.12 setup", "the bearer of bad news", "Basic programming", "a basic understanding of things", "Bearer of 3 rings"],
    },
    Example {
        rule: "key-value",
        secrets: &[("Authorization: GenieKey hunter2", "hunter2"), ("curl -H 'Authorization: SSWS hunter2' x", "hunter2"), ("MNEMONIC=abandon ability able", "able"), ("passphrase: correct horse battery", "battery"), ("DB_PASSWORD=p&hunter2", "hunter2"), ("DB_PASSWORD=p;hunter2", "hunter2"), ("DB_PASSWORD=p'hunter2", "hunter2"), ("ENV FOO_TOKEN hunter2", "hunter2"), ("FOO_TOKEN ?= hunter2", "hunter2"), ("BASIC_AUTH=admin:hunter2", "hunter2"), ("NEO4J_AUTH=neo4j/hunter2", "hunter2"), ("{\"auths\":{\"ghcr.io\":{\"auth\":\"dXNlcjpwYXNz\"}}}", "dXNlcjpwYXNz"), ("password_confirmation=hunter2", "hunter2"),
            ("password=hunter2", "hunter2"),
            ("PASSWORD = hunter2", "hunter2"),
            ("password: hunter2", "hunter2"),
            ("password2:hunter2", "hunter2"),
            ("db_password=\"correct horse battery staple\" next", "horse"),
            ("DB_PASS='correct horse' x", "horse"),
            ("{\"user\":\"me\",\"password\":\"hunter2\"}", "hunter2"),
            ("{\\\"apiKey\\\": \\\"hunter2 x\\\", \\\"a\\\": 1}", "hunter2"),
            ("{'secret': 'hunter2'}", "hunter2"),
            ("secrets: [\"hunter2\", \"xyzzy\"]", "xyzzy"),
            ("credentials: {user: me, pass: xyzzy}", "xyzzy"),
            ("password => 'hunter2'", "hunter2"),
            ("config[\"password\"] = \"hunter2\"", "hunter2"),
            ("<password>hunter 2 xyzzy</password>", "xyzzy"),
            ("--password hunter2 --verbose", "hunter2"),
            ("--password=hunter2", "hunter2"),
            ("--api-key hunter2", "hunter2"),
            ("-token hunter2", "hunter2"),
            ("export AWS_SECRET_ACCESS_KEY=hunter2/+x", "hunter2"),
            ("set -gx GITHUB_TOKEN hunter2", "hunter2"),
            ("setenv API_TOKEN hunter2", "hunter2"),
            ("machine example.org login me password hunter2", "hunter2"),
            ("PGPASSWORD=hunter2 psql", "hunter2"),
            ("Server=db;User Id=sa;Password=hunter2;Database=x", "hunter2"),
            ("Server=db;Uid=sa;Pwd=hunter2;", "hunter2"),
            ("AccountName=x;AccountKey=aHVudGVyMg==;EndpointSuffix=core", "aHVudGVyMg"),
            ("Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey=aHVudGVyMg=", "aHVudGVyMg"),
            ("https://example.org/?token=hunter2&x=1", "hunter2"),
            ("https://x.blob/y?sv=2020&sig=aB3%2Fhunter2", "hunter2"),
            ("https://example.org/cb?code=4a7Bx9Qz&state=1", "4a7Bx9Qz"),
            ("Authorization: Bearer hunter2", "hunter2"),
            ("curl -H 'Authorization: Bearer hunter2' https://x", "hunter2"),
            ("authorization: token hunter2", "hunter2"),
            ("Authorization: Basic aHVudGVyMg==", "aHVudGVyMg"),
            ("Authorization: Digest username=\"me\", response=\"hunter2\"", "hunter2"),
            ("Proxy-Authorization: Basic aHVudGVyMg==", "aHVudGVyMg"),
            ("X-Api-Key: hunter2", "hunter2"),
            ("Cookie: theme=dark; sid=hunter2", "hunter2"),
            ("Set-Cookie: sid=hunter2; Path=/", "hunter2"),
            ("//registry.npmjs.org/:_authToken=hunter2", "hunter2"),
            ("key=Zx81kQ0pR7sT4uVw2yAb", "Zx81kQ0pR7sT4uVw2yAb"),
            ("signature: 9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d659a2feaa0c55ad015"),
            ("password%3Dhunter2", "hunter2"),
            ("密码 password：hunter2", "hunter2"),
            ("spring.datasource.password=hunter2", "hunter2"),
            ("openssl -passin pass:hunter2", "hunter2"),
            ("gpg --passphrase hunter2 -c x", "hunter2"),
            ("password=a,b)c]hunter2", "hunter2"),
            ("pass\u{200B}word=hunter2", "hunter2"),
            ("p\u{1B}[1massword=hunter2", "hunter2"),
            ("ｐａｓｓｗｏｒｄ＝hunter2", "hunter2"),
            ("“password”: hunter2", "hunter2"),
            ("jdbc:sqlserver://db;user=sa;password=hunter2;encrypt=true", "hunter2"),
            ("psql 'host=db user=me password=hunter2'", "hunter2"),
            ("https://s3.example.org/o?X-Amz-Credential=AK%2F2026&X-Amz-Signature=9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d65"),
            ("https://storage.example.org/o?X-Goog-Signature=9f86d081884c7d659a2feaa0c55ad015", "9f86d081884c7d65"),
            ("client-key-data: aHVudGVyMg==", "aHVudGVyMg"),
            ("docker run -e DB_PASSWORD=hunter2 x", "hunter2"),
            ("SNYK_TOKEN = hunter2", "hunter2"),
            ("Private-Token: hunter2", "hunter2"),
            ("X-Vault-Token: hunter2", "hunter2"),
            ("\"clientSecret\" : \"hunter2\"", "hunter2"),
            ("aws_session_token=hunter2//", "hunter2"),
            ("DB_PASSWORD_OLD=hunter2", "hunter2"),
            ("passwordProd: hunter2", "hunter2"),
            ("api_token_value = hunter2", "hunter2"),
            ("SECRET_FOR_CI=Zx81kQ0pR7sT4uVw2yAb", "Zx81kQ0pR7sT4uVw2yAb"),
            ("DATADOG_EU=0a1b2c3d4e5f60718293a4b5c6d7e8f9", "0a1b2c3d4e5f6071"),
            ("okta: 00Zx81kQ0pR7sT4uVw2yAbZx81kQ0pR7sT4uVw2yAb", "Zx81kQ0pR7sT4uVw2yAb"),
            ("пароль: hunter2", "hunter2"),
            ("我的密码：hunter2", "hunter2"),
            ("contraseña=hunter2", "hunter2"),
            ("𝐩𝐚𝐬𝐬𝐰𝐨𝐫𝐝＝hunter2", "hunter2"),
            ("p\u{336}a\u{336}s\u{336}s\u{336}word: hunter2", "hunter2"),
            ("password=ｈｕｎｔｅｒ２", "ｈｕｎｔｅｒ２"),
            ("password: |\n  hunter2", "hunter2"),
            ("password: >- hunter2", "hunter2"),
            ("token: !!str hunter2", "hunter2"),
            ("<add key=\"Password\" value=\"hunter2\" />", "hunter2"),
            ("<entry key=\"password\">hunter2 xyzzy</entry>", "xyzzy"),
            ("- name: DB_PASSWORD\n  value: hunter2", "hunter2"),
            ("[{\"name\": \"DB_PASSWORD\", \"value\": \"hunter2\"}]", "hunter2"),
            ("machine example.org password hunter2 login me", "hunter2"),
            ("default login me password hunter2", "hunter2"),
            ("git config --global http.password hunter2", "hunter2"),
            ("aws configure set aws_secret_access_key hunter2", "hunter2"),
            ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=aHVudGVyMg==;EndpointSuffix=core.windows.net", "aHVudGVyMg"),
            ("SharedAccessSignature=sr=x&sig=aHVudGVyMg%3D&se=1", "aHVudGVyMg"),
            ("https://a.blob.core.windows.net/c?sv=2024-11-04&ss=b&srt=sco&sp=r&se=2026-01-31T00:00:00Z&sig=aB3%2FaHVudGVyMg%3D", "aHVudGVyMg"),
            ("Driver={ODBC Driver 18};Server=db;UID=sa;PWD={hunter2;x};", "hunter2"),
            ("jdbc:postgresql://db/x?user=me&password=hunter2", "hunter2"),
            ("jdbc:mysql://db/x?user=me&password=hunter2&ssl=true", "hunter2"),
            ("sasl.jaas.config=org.x.PlainLoginModule required username=\"me\" password=\"hunter2\";", "hunter2"),
            ("mount -t cifs //s/x /m -o username=me,password=hunter2,uid=1", "hunter2"),
            ("docker run -e POSTGRES_PASSWORD=hunter2 -p 5432:5432 postgres", "hunter2"),
            ("kubectl create secret generic x --from-literal=password=hunter2", "hunter2"),
            ("helm upgrade x . --set db.password=hunter2,replicas=2", "hunter2"),
            ("terraform apply -var db_password=hunter2", "hunter2"),
            ("ansible-playbook x.yml -e ansible_become_pass=hunter2", "hunter2"),
            ("wget --http-password=hunter2 https://x", "hunter2"),
            ("java -Djavax.net.ssl.keyStorePassword=hunter2 -jar x", "hunter2"),
            ("msbuild /p:Password=hunter2", "hunter2"),
            ("BW_SESSION=hunter2==", "hunter2"),
            ("otp: 123456", "123456"),
            ("PrivateKey = aHVudGVyMg==", "aHVudGVyMg"),
            ("PresharedKey = aHVudGVyMg==", "aHVudGVyMg"),
            ("wpa_passphrase=hunter2", "hunter2"),
            ("mnemonic: \"hunter2 abandon ability able\"", "ability"),
            ("X-Auth-Key: hunter2", "hunter2"),
            ("{\"payload\":\"{\\\"password\\\":\\\"hunter2\\\"}\"}", "hunter2"),
        ],
        ordinary: &[
            "ANTHROPIC_MODEL=claude-3-5-sonnet-20241022", "OPENAI_MODEL=gpt-4o-mini-2024-07-18",
            "TRAVIS_COMMIT_RANGE=a1b2c3d4e5f6...f6e5d4c3b2a1",
            "the password is on the wall", "PWD=/home/me", "OLDPWD=/tmp", "token_type=bearer", "max_tokens=4096",
            "primary_key: id", "key=value", "monkey=banana", "compass: north", "bypass=on", "keyboard: us",
            "git commit -m 'fix: token parsing'", "passwordless login", "--password-stdin", "--key file.pem",
            "author: me", "signature=valid", "key: release-2026-candidate-one", "tokens: 12", "secretary: me",
            "class token::Kind", "set password", "ls --color=auto --sort=time",
            "id=1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b", "commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "/srv/releases/2026-01-31T12:00:00Z/v1.2.3-rc.1+build.5", "sha256:9f86d081884c7d659a2feaa0c55ad015",
            "ip-10-0-3-17.eu-central-1.compute.internal", "rustc 1.95.0 (59807616e 2026-04-14)",
            "Linux-6.12.8-x86_64-with-glibc2.40", "python3.13/site-packages/tokenize.py", "密码学 入门",
            "HEROKU_SLUG_COMMIT=3f786850e387550fdab836ed7e6dc881de23001b", "telegram: channel", "DISCORD_CHANNEL=general", "netlify: deploy 4 of 5",
            "name=config value=3", "key: name value: 3", "cities: threshold=5", "secret_name=prod-db", "token_url=https://example.org/oauth",
            "set --global x y", "latest: prod", "passwords are kept elsewhere", "on: |", "password_file=/run/secrets/db", "ｗｉｄｅ　ｔｅｘｔ", "①②③ 𝐛𝐨𝐥𝐝 text",
        ],
    },
    Example {
        rule: "option-credentials",
        secrets: &[("curl -ku me:hunter2 https://x", "hunter2"), ("curl -sSLu me:hunter2 https://x", "hunter2"), ("curl -u me:12345678 https://x", "12345678"), ("curl -u \"me:correct horse battery\" https://x", "battery"), ("mysql -uroot -p'hunter two' db", "two"), ("curl --proxy-user=me:hunter2 x", "hunter2"), ("http --auth me:hunter2 x", "hunter2"), ("unzip -P hunter2 x", "hunter2"),
            ("curl -u me:hunter2 https://x", "hunter2"),
            ("curl --user me:hunter2 https://x", "hunter2"),
            ("curl -ume:hunter2 https://x", "hunter2"),
            ("sshpass -p hunter2 ssh me@x", "hunter2"),
            ("mysql -uroot -phunter2 db", "hunter2"),
            ("docker login -u me -p hunter2", "hunter2"),
            ("redis-cli -a hunter2 ping", "hunter2"),
            ("smbclient //x/y -U me%hunter2", "hunter2"),
            ("curl --proxy-user me:hunter2 https://x", "hunter2"),
            ("mysqldump -h db -uroot -phunter2 x > y", "hunter2"),
            ("mongosh -u me -p hunter2 db", "hunter2"),
            ("az login --service-principal -u x -p hunter2", "hunter2"),
            ("ldapsearch -x -D cn=me -w hunter2 -b dc=x", "hunter2"),
            ("sqlcmd -S db -U sa -P hunter2", "hunter2"),
            ("snmpwalk -v3 -u me -A hunter2 -X xyzzy host", "hunter2"),
            ("openssl enc -aes-256-cbc -k hunter2 -in x", "hunter2"),
            ("openssl pkcs12 -in x -passin pass:hunter2", "hunter2"),
            ("keytool -list -storepass hunter2", "hunter2"),
        ],
        ordinary: &["date -u +%Y-%m-%dT%H:%M:%SZ", "docker run -d -p 27017:27017 mongo", "docker run -p3306:3306 mysql", "scp -P 2222 a.zip b:", "grep -c foo snmp.log", "ssh -p 2222 mongo01", "nc -u 10.0.0.1:53", "docker run -u 1000:1000 x", "ssh -p 2222 host", "mkdir -p a/b", "cp -a x y", "mysql -u root -p db"],
    },
    Example {
        rule: "piped-password",
        secrets: &[
            ("echo hunter2 | sudo -S ls", "hunter2"),
            ("echo -n 'hunter2 xyzzy' | docker login -u me --password-stdin", "xyzzy"),
            ("printf '%s' hunter2 |gh auth login --with-token", "hunter2"),
            ("echo me:hunter2 | chpasswd", "hunter2"),
        ],
        ordinary: &["echo done | tee log", "echo a; sudo -S ls | echo b", "sudo -S true", "echo x --password-stdin"],
    },
    Example {
        rule: "call-argument",
        secrets: &[
            ("mysqli_connect('localhost', 'root', 'hunter2', 'shop')", "hunter2"),
            ("requests.get(url, auth=(\"bob\", \"hunter,2)\"))", "hunter,2)"),
            ("smtp.login(user, 'hunter2')", "hunter2"),
        ],
        ordinary: &["mysqli_connect($host, $user, $password)", "smtp.login(user, password)", "new PDO('sqlite:/tmp/x')"],
    },
    Example {
        rule: "oracle-credentials",
        secrets: &[
            ("sqlplus scott/hunter2@db", "hunter2"),
            ("sqlplus -S scott/hunt@er2@//db:1521/x", "hunt@er2"),
            ("jdbc:oracle:thin:scott/hunter2@db:1521:x", "hunter2"),
        ],
        ordinary: &["sqlplus /nolog", "sqlplus scott@db", "jdbc:oracle:thin:@//db:1521/x", "jdbc:oracle:thin:@db:1521:x"],
    },
];
