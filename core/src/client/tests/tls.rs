use rcgen::{CertificateParams, KeyPair};

use super::super::tls::read_roots;

/// The environment is the whole process's, so each case has a process of its own.
#[test]
fn where_the_system_trusts_nobody_the_bundled_roots_do() {
    if let Some(expected) = std::env::var_os("EXPECTED_ROOTS") {
        let roots = read_roots().len().to_string();
        assert_eq!(roots, expected.to_string_lossy());
        return;
    }
    let folder = std::env::temp_dir().join(format!("ssehub-roots-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (empty, one) = (folder.join("empty.pem"), folder.join("one.pem"));
    std::fs::write(&empty, "").unwrap();
    let certificate = CertificateParams::new(vec!["a.test".to_owned()])
        .unwrap()
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap();
    std::fs::write(&one, certificate.pem()).unwrap();
    let bundled = webpki_roots::TLS_SERVER_ROOTS.len();
    assert!(bundled > 50, "{bundled}");
    let nowhere = folder.join("nowhere");
    for (file, expected) in [(&empty, bundled), (&nowhere, bundled), (&one, 1)] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "client::tests::tls::where_the_system_trusts_nobody_the_bundled_roots_do",
            ])
            .env("EXPECTED_ROOTS", expected.to_string())
            .env("SSL_CERT_FILE", file)
            .env("SSL_CERT_DIR", &nowhere)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{file:?}: {said}"
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
