//! Tokens that are told by their prefix: the table, and the scanner that goes through it.
//!
//! Each entry is a rule of its own, known by the name in the first column. Prefixes and lengths are
//! what the issuers document or what their tokens look like; no check digits are computed. Secrets
//! without a telling prefix are for the scanners of `rules`.

use crate::redact::Finding;

/// What the part after the prefix is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// `A-Z a-z 0-9`
    Alnum,
    /// `A-Z 0-9`
    Upper,
    /// `0-9 a-f A-F`
    Hex,
    /// `A-Z a-z 0-9 _ -`
    Word,
    /// `A-Z a-z 0-9 _ - .`
    Dotted,
    /// `A-Z a-z 0-9 + / = _ - .`, as in any base64
    Base64,
}

impl Body {
    fn has(self, b: u8) -> bool {
        match self {
            Body::Alnum => b.is_ascii_alphanumeric(),
            Body::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Body::Hex => b.is_ascii_hexdigit(),
            Body::Word => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Body::Dotted => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'),
            Body::Base64 => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'/' | b'='),
        }
    }
}

/// One kind of token.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) rule: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) body: Body,
    /// Fewest characters after the prefix; what is shorter is no token of this kind.
    pub(crate) body_min: usize,
}

const fn token(rule: &'static str, prefix: &'static str, body: Body, body_min: usize) -> Token {
    Token { rule, prefix, body, body_min }
}

use Body::{Alnum, Base64, Dotted, Hex, Upper, Word};

/// The table, in order of issuers.
#[rustfmt::skip]
pub(crate) static TOKENS: &[Token] = &[
    token("age-key", "AGE-SECRET-KEY-1", Alnum, 20),
    token("airtable-token", "pat", Dotted, 80),
    token("alibaba-key", "LTAI", Alnum, 16),
    token("anthropic-key", "sk-ant-", Word, 16),
    token("artifactory-key", "AKCp", Alnum, 10),
    token("atlassian-token", "ATATT3", Base64, 20),
    token("atlassian-token", "ATCTT3", Base64, 20),
    token("atlassian-token", "ATBB", Alnum, 20),
    token("aws-key-id", "AKIA", Upper, 16),
    token("aws-key-id", "ASIA", Upper, 16),
    token("aws-key-id", "ABIA", Upper, 16),
    token("aws-key-id", "ACCA", Upper, 16),
    token("aws-bedrock-key", "ABSK", Base64, 60),
    token("aws-bedrock-key", "bedrock-api-key-", Base64, 20),
    token("buildkite-token", "bkua_", Hex, 32),
    token("circleci-token", "CCIPAT_", Word, 20),
    token("clojars-token", "CLOJARS_", Alnum, 40),
    token("cratesio-token", "cio", Alnum, 32),
    token("databricks-token", "dapi", Hex, 32),
    token("digitalocean-token", "dop_v1_", Hex, 32),
    token("digitalocean-token", "doo_v1_", Hex, 32),
    token("digitalocean-token", "dor_v1_", Hex, 32),
    token("docker-token", "dckr_pat_", Word, 20),
    token("docker-token", "dckr_oat_", Word, 20),
    token("doppler-token", "dp.pt.", Alnum, 32),
    token("doppler-token", "dp.st.", Dotted, 32),
    token("doppler-token", "dp.ct.", Alnum, 32),
    token("doppler-token", "dp.sa.", Alnum, 32),
    token("dropbox-token", "sl.u.", Word, 40),
    token("dropbox-token", "sl.", Word, 100),
    token("dynatrace-token", "dt0c01.", Dotted, 40),
    token("easypost-key", "EZAK", Alnum, 40),
    token("easypost-key", "EZTK", Alnum, 40),
    token("facebook-token", "EAACEdEose0cBA", Alnum, 10),
    token("facebook-token", "EAAG", Alnum, 60),
    token("figma-token", "figd_", Word, 30),
    token("fly-token", "fo1_", Word, 30),
    token("fly-token", "fm1r_", Base64, 30),
    token("fly-token", "fm2_", Base64, 30),
    token("github-token", "ghp_", Alnum, 20),
    token("github-token", "gho_", Alnum, 20),
    token("github-token", "ghu_", Alnum, 20),
    token("github-token", "ghs_", Alnum, 20),
    token("github-token", "ghr_", Alnum, 20),
    token("github-token", "github_pat_", Word, 22),
    token("gitlab-token", "glpat-", Dotted, 20),
    token("gitlab-token", "glptt-", Word, 20),
    token("gitlab-token", "gldt-", Word, 20),
    token("gitlab-token", "glrt-", Dotted, 20),
    token("gitlab-token", "glrtr-", Dotted, 20),
    token("gitlab-token", "glcbt-", Word, 20),
    token("gitlab-token", "glft-", Word, 20),
    token("gitlab-token", "glsoat-", Word, 20),
    token("gitlab-token", "glimt-", Word, 20),
    token("gitlab-token", "glagent-", Word, 20),
    token("gitlab-token", "gloas-", Word, 20),
    token("gitlab-token", "glffct-", Word, 20),
    token("gitlab-token", "GR1348941", Word, 20),
    token("google-api-key", "AIza", Word, 30),
    token("google-oauth", "ya29.", Word, 20),
    token("google-oauth", "GOCSPX-", Word, 20),
    token("google-oauth", "1//0", Word, 30),
    token("grafana-token", "glsa_", Word, 32),
    token("grafana-token", "glc_", Base64, 32),
    token("grafana-token", "eyJrIjoi", Base64, 30),
    token("groq-key", "gsk_", Alnum, 30),
    token("heroku-key", "HRKU-", Word, 30),
    token("huggingface-token", "hf_", Alnum, 30),
    token("huggingface-token", "api_org_", Alnum, 30),
    token("launchdarkly-key", "api-", LAUNCHDARKLY, 36),
    token("launchdarkly-key", "sdk-", LAUNCHDARKLY, 36),
    token("linear-key", "lin_api_", Alnum, 32),
    token("linear-key", "lin_oauth_", Alnum, 32),
    token("mailgun-key", "key-", Hex, 32),
    token("mapbox-token", "sk.eyJ", Dotted, 30),
    token("netlify-token", "nfp_", Alnum, 30),
    token("newrelic-key", "NRAK-", Alnum, 20),
    token("newrelic-key", "NRII-", Word, 20),
    token("newrelic-key", "NRJS-", Hex, 16),
    token("newrelic-key", "NRRA-", Hex, 30),
    token("notion-token", "ntn_", Alnum, 40),
    token("notion-token", "secret_", Alnum, 40),
    token("npm-token", "npm_", Alnum, 30),
    token("nuget-key", "oy2", Alnum, 43),
    token("onepassword-token", "ops_eyJ", Base64, 60),
    token("openai-key", "sk-proj-", Word, 20),
    token("openai-key", "sk-svcacct-", Word, 20),
    token("openai-key", "sk-admin-", Word, 20),
    token("openai-key", "sk-None-", Word, 20),
    token("openai-key", "sk-", Alnum, 20),
    token("openrouter-key", "sk-or-", Word, 20),
    token("perplexity-key", "pplx-", Alnum, 30),
    token("planetscale-token", "pscale_tkn_", Dotted, 30),
    token("planetscale-token", "pscale_pw_", Dotted, 30),
    token("planetscale-token", "pscale_oauth_", Dotted, 30),
    token("postman-key", "PMAK-", Word, 50),
    token("prefect-token", "pnu_", Alnum, 30),
    token("pulumi-token", "pul-", Hex, 40),
    token("pypi-token", "pypi-", Word, 50),
    token("replicate-token", "r8_", Alnum, 30),
    token("rubygems-key", "rubygems_", Hex, 32),
    token("sendgrid-key", "SG.", Dotted, 40),
    token("sendinblue-key", "xkeysib-", Word, 40),
    token("sentry-token", "sntrys_", Base64, 40),
    token("sentry-token", "sntryu_", Hex, 40),
    token("shopify-token", "shpat_", Hex, 32),
    token("shopify-token", "shpca_", Hex, 32),
    token("shopify-token", "shppa_", Hex, 32),
    token("shopify-token", "shpss_", Hex, 32),
    token("slack-token", "xoxb-", Word, 10),
    token("slack-token", "xoxp-", Word, 10),
    token("slack-token", "xoxa-", Word, 10),
    token("slack-token", "xoxo-", Word, 10),
    token("slack-token", "xoxr-", Word, 10),
    token("slack-token", "xoxs-", Word, 10),
    token("slack-token", "xoxc-", Word, 10),
    token("slack-token", "xoxd-", Base64, 10),
    token("slack-token", "xoxe-", Word, 10),
    token("slack-token", "xoxe.", Dotted, 10),
    token("slack-token", "xapp-", Word, 10),
    token("slack-token", "xwfp-", Word, 10),
    token("square-token", "sq0atp-", Word, 20),
    token("square-token", "sq0csp-", Word, 20),
    token("square-token", "EAAAE", Word, 55),
    token("stripe-key", "sk_live_", Alnum, 10),
    token("stripe-key", "sk_test_", Alnum, 10),
    token("stripe-key", "rk_live_", Alnum, 10),
    token("stripe-key", "rk_test_", Alnum, 10),
    token("stripe-key", "whsec_", Base64, 20),
    token("supabase-key", "sbp_", Hex, 32),
    token("supabase-key", "sb_secret_", Word, 20),
    token("tailscale-key", "tskey-", Word, 16),
    token("twilio-key", "SK", Hex, 32),
    token("typeform-token", "tfp_", Dotted, 40),
    token("vault-token", "hvs.", Word, 20),
    token("vault-token", "hvb.", Word, 20),
    token("vault-token", "hvr.", Word, 20),
    token("vercel-token", "vcp_", Alnum, 20),
    token("xai-key", "xai-", Alnum, 40),
    token("bitcoin-key", "xprv", Alnum, 100),
    token("adafruit-key", "aio_", Alnum, 28),
    token("age-key", "AGE-SECRET-KEY-PQ-1", Alnum, 20),
    token("bitbucket-token", "BBDC-", Base64, 40),
    token("circleci-token", "CCIPRJ_", Word, 20),
    token("cloudflare-key", "v1.0-", Word, 100),
    token("contentful-token", "CFPAT-", Word, 40),
    token("doppler-token", "dp.audit.", Alnum, 32),
    token("doppler-token", "dp.scim.", Alnum, 32),
    token("duffel-token", "duffel_live_", Word, 40),
    token("dynatrace-token", "dt0s16.", Dotted, 40),
    token("e2b-key", "e2b_", Hex, 40),
    token("facebook-token", "EAA", Alnum, 90),
    token("flutterwave-key", "FLWSECK-", Word, 30),
    token("flutterwave-key", "FLWSECK_TEST-", Word, 30),
    token("frameio-token", "fio-u-", Word, 60),
    token("gitlab-token", "glwt-", Dotted, 20),
    token("heroku-key", "HRKU-AA", Word, 50),
    token("hubspot-token", "pat-na1-", Word, 36),
    token("hubspot-token", "pat-eu1-", Word, 36),
    token("jina-key", "jina_", Word, 50),
    token("langfuse-key", "sk-lf-", Word, 30),
    token("langsmith-key", "lsv2_pt_", Word, 40),
    token("langsmith-key", "lsv2_sk_", Word, 40),
    token("neon-key", "napi_", Alnum, 50),
    token("nvidia-key", "nvapi-", Word, 60),
    token("onepassword-key", "A3-", Word, 30),
    token("pinecone-key", "pcsk_", Word, 50),
    token("posthog-key", "phx_", Word, 40),
    token("razorpay-key", "rzp_live_", Alnum, 14),
    token("readme-key", "rdme_", Alnum, 60),
    token("render-key", "rnd_", Alnum, 28),
    token("sendinblue-key", "xsmtpsib-", Word, 40),
    token("shippo-token", "shippo_live_", Hex, 40),
    token("slack-token", "xoxe-1-", Word, 10),
    token("sourcegraph-token", "sgp_", Word, 40),
    token("square-token", "sq0idp-", Word, 20),
    token("tavily-key", "tvly-", Word, 24),
    token("tencent-key", "AKID", Alnum, 32),
    token("together-key", "tgp_v1_", Word, 40),
    token("workos-key", "sk_prod_", Alnum, 20),
    token("yandex-key", "AQVN", Word, 35),
    token("zapier-key", "sk-ak-", Word, 30),
];

/// Keys in the form of a UUID.
const LAUNCHDARKLY: Body = Word;

/// Buckets of [`INDEX`].
const BUCKETS: usize = 256;
/// Ends a chain of [`INDEX`].
const NO_TOKEN: u8 = u8::MAX;

/// Tokens by the first two bytes of their prefix, so that an ordinary word costs one look: the first
/// one of each bucket, and for each token the next one in its bucket.
struct Index {
    first: [u8; BUCKETS],
    next: [u8; TOKENS.len()],
}

/// Bucket of a word with these first bytes.
const fn bucket(first: u8, second: u8) -> usize {
    (first.wrapping_mul(31) ^ second) as usize
}

#[allow(clippy::indexing_slicing, reason = "evaluated when compiling")]
static INDEX: Index = {
    assert!(TOKENS.len() < NO_TOKEN as usize);
    let mut index = Index { first: [NO_TOKEN; BUCKETS], next: [NO_TOKEN; TOKENS.len()] };
    let mut at = 0;
    while at < TOKENS.len() {
        let prefix = TOKENS[at].prefix.as_bytes();
        let bucket = bucket(prefix[0], prefix[1]);
        index.next[at] = index.first[bucket];
        index.first[bucket] = at as u8;
        at += 1;
    }
    index
};

/// Tokens whose prefix may begin with the bytes of `bucket`.
fn tokens_of(bucket: usize) -> impl Iterator<Item = &'static Token> {
    let first = INDEX.first.get(bucket).copied();
    let chain = std::iter::successors(first, |&at| INDEX.next.get(usize::from(at)).copied());
    // The end of a chain is no place in the table.
    chain.map_while(|at| TOKENS.get(usize::from(at)))
}

/// Points at every token of [`TOKENS`] that begins a word.
pub(crate) fn find(text: &str, found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut before = b' ';
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if at < done {
            before = byte;
            continue;
        }
        let begins_word = !before.is_ascii_alphanumeric();
        before = byte;
        let Some(second) = bytes.get(at + 1).filter(|_| begins_word) else { continue };
        let Some(rest) = bytes.get(at..) else { continue };
        if let Some((rule, len)) = longest(tokens_of(bucket(byte, *second)), rest) {
            done = at + len;
            found.push(Finding { range: at..done, rule });
        }
    }
}

/// The longest of these tokens that `bytes` begin with.
fn longest(tokens: impl Iterator<Item = &'static Token>, bytes: &[u8]) -> Option<(&'static str, usize)> {
    let fitting = tokens.filter_map(|token| {
        let rest = bytes.strip_prefix(token.prefix.as_bytes())?;
        let len = rest.iter().take_while(|&&b| token.body.has(b)).count();
        (len >= token.body_min).then_some((token.rule, token.prefix.len() + len))
    });
    fitting.max_by_key(|&(_, len)| len)
}
