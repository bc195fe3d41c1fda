import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.cert.CertPathValidator;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.PKIXRevocationChecker.Option;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * What Java's own validator says of the chains in the folders that are its arguments: for each of `leaf` and `lost`,
 * under `root` and `impostor`, by CRL and by OCSP, one line "folder, certificate, anchor, way, verdict" with tabs
 * between. Java fetches CRL and OCSP answers itself, from the addresses in the certificates.
 */
class CertPaths {
  public static void main(String[] folders) throws Exception {
    for (String folder : folders)
      for (String certificate : List.of("leaf", "lost"))
        for (String anchor : List.of("root", "impostor"))
          for (String way : List.of("crl", "ocsp"))
            System.out.println(String.join("\t", folder, certificate, anchor, way, judge(Path.of(folder), certificate, anchor, way)));
  }

  static String judge(Path folder, String certificate, String anchor, String way) throws Exception {
    try {
      var path = CertificateFactory.getInstance("X.509").generateCertPath(List.of(load(folder, certificate), load(folder, "issuing")));
      var parameters = new PKIXParameters(Set.of(new TrustAnchor(load(folder, anchor), null)));
      var validator = CertPathValidator.getInstance("PKIX");
      var checker = (PKIXRevocationChecker) validator.getRevocationChecker();
      // One way alone: neither the other one where it fails, nor acceptance without an answer.
      checker.setOptions(way.equals("crl") ? EnumSet.of(Option.PREFER_CRLS, Option.NO_FALLBACK) : EnumSet.of(Option.NO_FALLBACK));
      parameters.addCertPathChecker(checker);
      validator.validate(path, parameters);
      return "valid";
    } catch (GeneralSecurityException refusal) {
      return (refusal + " because of " + refusal.getCause()).replaceAll("\\s+", " ");
    }
  }

  static X509Certificate load(Path folder, String name) throws Exception {
    try (InputStream in = Files.newInputStream(folder.resolve(name + ".pem"))) {
      return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
  }
}
