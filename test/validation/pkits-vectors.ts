/**
 * What NIST's Public Key Interoperability Test Suite (PKITS 1.0.1, 2011; public domain) expects: test number and subpart,
 * verdict, certificate to validate, and the inputs of RFC 5280 §6.1.1 where they are not the default. The certificates
 * and CRLs themselves come from a package (install-test-tools.sh). Policies are NIST-test-policy-1 to 6.
 */
const table = `
4.1.1 valid ValidCertificatePathTest1EE
4.1.2 invalid InvalidCASignatureTest2EE
4.1.3 invalid InvalidEESignatureTest3EE
4.1.4 valid ValidDSASignaturesTest4EE
4.1.5 valid ValidDSAParameterInheritanceTest5EE
4.1.6 invalid InvalidDSASignatureTest6EE
4.2.1 invalid InvalidCAnotBeforeDateTest1EE
4.2.2 invalid InvalidEEnotBeforeDateTest2EE
4.2.3 valid Validpre2000UTCnotBeforeDateTest3EE
4.2.4 valid ValidGeneralizedTimenotBeforeDateTest4EE
4.2.5 invalid InvalidCAnotAfterDateTest5EE
4.2.6 invalid InvalidEEnotAfterDateTest6EE
4.2.7 invalid Invalidpre2000UTCEEnotAfterDateTest7EE
4.2.8 valid ValidGeneralizedTimenotAfterDateTest8EE
4.3.1 invalid InvalidNameChainingTest1EE
4.3.2 invalid InvalidNameChainingOrderTest2EE
4.3.3 valid ValidNameChainingWhitespaceTest3EE
4.3.4 valid ValidNameChainingWhitespaceTest4EE
4.3.5 valid ValidNameChainingCapitalizationTest5EE
4.3.6 valid ValidNameUIDsTest6EE
4.3.7 valid ValidRFC3280MandatoryAttributeTypesTest7EE
4.3.8 valid ValidRFC3280OptionalAttributeTypesTest8EE
4.3.9 valid ValidUTF8StringEncodedNamesTest9EE
4.3.10 valid ValidRolloverfromPrintableStringtoUTF8StringTest10EE
4.3.11 valid ValidUTF8StringCaseInsensitiveMatchTest11EE
4.4.1 invalid InvalidMissingCRLTest1EE
4.4.2 invalid InvalidRevokedCATest2EE
4.4.3 invalid InvalidRevokedEETest3EE
4.4.4 invalid InvalidBadCRLSignatureTest4EE
4.4.5 invalid InvalidBadCRLIssuerNameTest5EE
4.4.6 invalid InvalidWrongCRLTest6EE
4.4.7 valid ValidTwoCRLsTest7EE
4.4.8 invalid InvalidUnknownCRLEntryExtensionTest8EE
4.4.9 invalid InvalidUnknownCRLExtensionTest9EE
4.4.10 invalid InvalidUnknownCRLExtensionTest10EE
4.4.11 invalid InvalidOldCRLnextUpdateTest11EE
4.4.12 invalid Invalidpre2000CRLnextUpdateTest12EE
4.4.13 valid ValidGeneralizedTimeCRLnextUpdateTest13EE
4.4.14 valid ValidNegativeSerialNumberTest14EE
4.4.15 invalid InvalidNegativeSerialNumberTest15EE
4.4.16 valid ValidLongSerialNumberTest16EE
4.4.17 valid ValidLongSerialNumberTest17EE
4.4.18 invalid InvalidLongSerialNumberTest18EE
4.4.19 valid ValidSeparateCertificateandCRLKeysTest19EE
4.4.20 invalid InvalidSeparateCertificateandCRLKeysTest20EE
4.4.21 invalid InvalidSeparateCertificateandCRLKeysTest21EE
4.5.1 valid ValidBasicSelfIssuedOldWithNewTest1EE
4.5.2 invalid InvalidBasicSelfIssuedOldWithNewTest2EE
4.5.3 valid ValidBasicSelfIssuedNewWithOldTest3EE
4.5.4 valid ValidBasicSelfIssuedNewWithOldTest4EE
4.5.5 invalid InvalidBasicSelfIssuedNewWithOldTest5EE
4.5.6 valid ValidBasicSelfIssuedCRLSigningKeyTest6EE
4.5.7 invalid InvalidBasicSelfIssuedCRLSigningKeyTest7EE
4.5.8 invalid InvalidBasicSelfIssuedCRLSigningKeyTest8EE
4.6.1 invalid InvalidMissingbasicConstraintsTest1EE
4.6.2 invalid InvalidcAFalseTest2EE
4.6.3 invalid InvalidcAFalseTest3EE
4.6.4 valid ValidbasicConstraintsNotCriticalTest4EE
4.6.5 invalid InvalidpathLenConstraintTest5EE
4.6.6 invalid InvalidpathLenConstraintTest6EE
4.6.7 valid ValidpathLenConstraintTest7EE
4.6.8 valid ValidpathLenConstraintTest8EE
4.6.9 invalid InvalidpathLenConstraintTest9EE
4.6.10 invalid InvalidpathLenConstraintTest10EE
4.6.11 invalid InvalidpathLenConstraintTest11EE
4.6.12 invalid InvalidpathLenConstraintTest12EE
4.6.13 valid ValidpathLenConstraintTest13EE
4.6.14 valid ValidpathLenConstraintTest14EE
4.6.15 valid ValidSelfIssuedpathLenConstraintTest15EE
4.6.16 invalid InvalidSelfIssuedpathLenConstraintTest16EE
4.6.17 valid ValidSelfIssuedpathLenConstraintTest17EE
4.7.1 invalid InvalidkeyUsageCriticalkeyCertSignFalseTest1EE
4.7.2 invalid InvalidkeyUsageNotCriticalkeyCertSignFalseTest2EE
4.7.3 valid ValidkeyUsageNotCriticalTest3EE
4.7.4 invalid InvalidkeyUsageCriticalcRLSignFalseTest4EE
4.7.5 invalid InvalidkeyUsageNotCriticalcRLSignFalseTest5EE
4.8.1/1 valid ValidCertificatePathTest1EE explicit
4.8.1/2 valid ValidCertificatePathTest1EE policies 1 explicit
4.8.1/3 invalid ValidCertificatePathTest1EE policies 2 explicit
4.8.1/4 valid ValidCertificatePathTest1EE policies 1+2 explicit
4.8.2/1 valid AllCertificatesNoPoliciesTest2EE
4.8.2/2 invalid AllCertificatesNoPoliciesTest2EE explicit
4.8.3/1 valid DifferentPoliciesTest3EE
4.8.3/2 invalid DifferentPoliciesTest3EE explicit
4.8.3/3 invalid DifferentPoliciesTest3EE policies 1+2 explicit
4.8.4 invalid DifferentPoliciesTest4EE
4.8.5 invalid DifferentPoliciesTest5EE
4.8.6/1 valid OverlappingPoliciesTest6EE
4.8.6/2 valid OverlappingPoliciesTest6EE policies 1
4.8.6/3 invalid OverlappingPoliciesTest6EE policies 2
4.8.7 invalid DifferentPoliciesTest7EE
4.8.8 invalid DifferentPoliciesTest8EE
4.8.9 invalid DifferentPoliciesTest9EE
4.8.10/1 valid AllCertificatesSamePoliciesTest10EE
4.8.10/2 valid AllCertificatesSamePoliciesTest10EE policies 1
4.8.10/3 valid AllCertificatesSamePoliciesTest10EE policies 2
4.8.11/1 valid AllCertificatesanyPolicyTest11EE
4.8.11/2 valid AllCertificatesanyPolicyTest11EE policies 1
4.8.12 invalid DifferentPoliciesTest12EE
4.8.13/1 valid AllCertificatesSamePoliciesTest13EE policies 1
4.8.13/2 valid AllCertificatesSamePoliciesTest13EE policies 2
4.8.13/3 valid AllCertificatesSamePoliciesTest13EE policies 3
4.8.14/1 valid AnyPolicyTest14EE policies 1
4.8.14/2 invalid AnyPolicyTest14EE policies 2
4.8.15 valid UserNoticeQualifierTest15EE
4.8.16 valid UserNoticeQualifierTest16EE
4.8.17 valid UserNoticeQualifierTest17EE
4.8.18/1 valid UserNoticeQualifierTest18EE policies 1
4.8.18/2 valid UserNoticeQualifierTest18EE policies 2
4.8.19 valid UserNoticeQualifierTest19EE
4.8.20 valid CPSPointerQualifierTest20EE policies 1 explicit
4.9.1 valid ValidrequireExplicitPolicyTest1EE
4.9.2 valid ValidrequireExplicitPolicyTest2EE
4.9.3 invalid InvalidrequireExplicitPolicyTest3EE
4.9.4 valid ValidrequireExplicitPolicyTest4EE
4.9.5 invalid InvalidrequireExplicitPolicyTest5EE
4.9.6 valid ValidSelfIssuedrequireExplicitPolicyTest6EE
4.9.7 invalid InvalidSelfIssuedrequireExplicitPolicyTest7EE
4.9.8 invalid InvalidSelfIssuedrequireExplicitPolicyTest8EE
4.10.1/1 valid ValidPolicyMappingTest1EE policies 1
4.10.1/2 invalid ValidPolicyMappingTest1EE policies 2
4.10.1/3 invalid ValidPolicyMappingTest1EE no-mapping
4.10.2/1 invalid InvalidPolicyMappingTest2EE
4.10.2/2 invalid InvalidPolicyMappingTest2EE no-mapping
4.10.3/1 invalid ValidPolicyMappingTest3EE policies 1
4.10.3/2 valid ValidPolicyMappingTest3EE policies 2
4.10.4 invalid InvalidPolicyMappingTest4EE
4.10.5/1 valid ValidPolicyMappingTest5EE policies 1
4.10.5/2 invalid ValidPolicyMappingTest5EE policies 6
4.10.6/1 valid ValidPolicyMappingTest6EE policies 1
4.10.6/2 invalid ValidPolicyMappingTest6EE policies 6
4.10.7 invalid InvalidMappingFromanyPolicyTest7EE
4.10.8 invalid InvalidMappingToanyPolicyTest8EE
4.10.9 valid ValidPolicyMappingTest9EE
4.10.10 invalid InvalidPolicyMappingTest10EE
4.10.11 valid ValidPolicyMappingTest11EE
4.10.12/1 valid ValidPolicyMappingTest12EE policies 1
4.10.12/2 valid ValidPolicyMappingTest12EE policies 2
4.10.13/1 valid ValidPolicyMappingTest13EE
4.10.13/2 valid ValidPolicyMappingTest13EE policies 1+2
4.10.13/3 invalid ValidPolicyMappingTest13EE policies 2
4.10.14 valid ValidPolicyMappingTest14EE
4.11.1 invalid InvalidinhibitPolicyMappingTest1EE
4.11.2 valid ValidinhibitPolicyMappingTest2EE
4.11.3 invalid InvalidinhibitPolicyMappingTest3EE
4.11.4 valid ValidinhibitPolicyMappingTest4EE
4.11.5 invalid InvalidinhibitPolicyMappingTest5EE
4.11.6 invalid InvalidinhibitPolicyMappingTest6EE
4.11.7 valid ValidSelfIssuedinhibitPolicyMappingTest7EE
4.11.8 invalid InvalidSelfIssuedinhibitPolicyMappingTest8EE
4.11.9 invalid InvalidSelfIssuedinhibitPolicyMappingTest9EE
4.11.10 invalid InvalidSelfIssuedinhibitPolicyMappingTest10EE
4.11.11 invalid InvalidSelfIssuedinhibitPolicyMappingTest11EE
4.12.1 invalid InvalidinhibitAnyPolicyTest1EE
4.12.2 valid ValidinhibitAnyPolicyTest2EE
4.12.3/1 valid inhibitAnyPolicyTest3EE
4.12.3/2 invalid inhibitAnyPolicyTest3EE no-any
4.12.4 invalid InvalidinhibitAnyPolicyTest4EE
4.12.5 invalid InvalidinhibitAnyPolicyTest5EE
4.12.6 invalid InvalidinhibitAnyPolicyTest6EE
4.12.7 valid ValidSelfIssuedinhibitAnyPolicyTest7EE
4.12.8 invalid InvalidSelfIssuedinhibitAnyPolicyTest8EE
4.12.9 valid ValidSelfIssuedinhibitAnyPolicyTest9EE
4.12.10 invalid InvalidSelfIssuedinhibitAnyPolicyTest10EE
4.13.1 valid ValidDNnameConstraintsTest1EE
4.13.2 invalid InvalidDNnameConstraintsTest2EE
4.13.3 invalid InvalidDNnameConstraintsTest3EE
4.13.4 valid ValidDNnameConstraintsTest4EE
4.13.5 valid ValidDNnameConstraintsTest5EE
4.13.6 valid ValidDNnameConstraintsTest6EE
4.13.7 invalid InvalidDNnameConstraintsTest7EE
4.13.8 invalid InvalidDNnameConstraintsTest8EE
4.13.9 invalid InvalidDNnameConstraintsTest9EE
4.13.10 invalid InvalidDNnameConstraintsTest10EE
4.13.11 valid ValidDNnameConstraintsTest11EE
4.13.12 invalid InvalidDNnameConstraintsTest12EE
4.13.13 invalid InvalidDNnameConstraintsTest13EE
4.13.14 valid ValidDNnameConstraintsTest14EE
4.13.15 invalid InvalidDNnameConstraintsTest15EE
4.13.16 invalid InvalidDNnameConstraintsTest16EE
4.13.17 invalid InvalidDNnameConstraintsTest17EE
4.13.18 valid ValidDNnameConstraintsTest18EE
4.13.19 valid ValidDNnameConstraintsTest19EE
4.13.20 invalid InvalidDNnameConstraintsTest20EE
4.13.21 valid ValidRFC822nameConstraintsTest21EE
4.13.22 invalid InvalidRFC822nameConstraintsTest22EE
4.13.23 valid ValidRFC822nameConstraintsTest23EE
4.13.24 invalid InvalidRFC822nameConstraintsTest24EE
4.13.25 valid ValidRFC822nameConstraintsTest25EE
4.13.26 invalid InvalidRFC822nameConstraintsTest26EE
4.13.27 valid ValidDNandRFC822nameConstraintsTest27EE
4.13.28 invalid InvalidDNandRFC822nameConstraintsTest28EE
4.13.29 invalid InvalidDNandRFC822nameConstraintsTest29EE
4.13.30 valid ValidDNSnameConstraintsTest30EE
4.13.31 invalid InvalidDNSnameConstraintsTest31EE
4.13.32 valid ValidDNSnameConstraintsTest32EE
4.13.33 invalid InvalidDNSnameConstraintsTest33EE
4.13.34 valid ValidURInameConstraintsTest34EE
4.13.35 invalid InvalidURInameConstraintsTest35EE
4.13.36 valid ValidURInameConstraintsTest36EE
4.13.37 invalid InvalidURInameConstraintsTest37EE
4.13.38 invalid InvalidDNSnameConstraintsTest38EE
4.14.1 valid ValiddistributionPointTest1EE
4.14.2 invalid InvaliddistributionPointTest2EE
4.14.3 invalid InvaliddistributionPointTest3EE
4.14.4 valid ValiddistributionPointTest4EE
4.14.5 valid ValiddistributionPointTest5EE
4.14.6 invalid InvaliddistributionPointTest6EE
4.14.7 valid ValiddistributionPointTest7EE
4.14.8 invalid InvaliddistributionPointTest8EE
4.14.9 invalid InvaliddistributionPointTest9EE
4.14.10 valid ValidNoissuingDistributionPointTest10EE
4.14.11 invalid InvalidonlyContainsUserCertsTest11EE
4.14.12 invalid InvalidonlyContainsCACertsTest12EE
4.14.13 valid ValidonlyContainsCACertsTest13EE
4.14.14 invalid InvalidonlyContainsAttributeCertsTest14EE
4.14.15 invalid InvalidonlySomeReasonsTest15EE
4.14.16 invalid InvalidonlySomeReasonsTest16EE
4.14.17 invalid InvalidonlySomeReasonsTest17EE
4.14.18 valid ValidonlySomeReasonsTest18EE
4.14.19 valid ValidonlySomeReasonsTest19EE
4.14.20 invalid InvalidonlySomeReasonsTest20EE
4.14.21 invalid InvalidonlySomeReasonsTest21EE
4.14.22 valid ValidIDPwithindirectCRLTest22EE
4.14.23 invalid InvalidIDPwithindirectCRLTest23EE
4.14.24 valid ValidIDPwithindirectCRLTest24EE
4.14.25 valid ValidIDPwithindirectCRLTest25EE
4.14.26 invalid InvalidIDPwithindirectCRLTest26EE
4.14.27 invalid InvalidcRLIssuerTest27EE
4.14.28 valid ValidcRLIssuerTest28EE
4.14.29 valid ValidcRLIssuerTest29EE
4.14.30 valid ValidcRLIssuerTest30EE
4.14.31 invalid InvalidcRLIssuerTest31EE
4.14.32 invalid InvalidcRLIssuerTest32EE
4.14.33 valid ValidcRLIssuerTest33EE
4.14.34 invalid InvalidcRLIssuerTest34EE
4.14.35 invalid InvalidcRLIssuerTest35EE
4.15.1 invalid InvaliddeltaCRLIndicatorNoBaseTest1EE
4.15.2 valid ValiddeltaCRLTest2EE
4.15.3 invalid InvaliddeltaCRLTest3EE
4.15.4 invalid InvaliddeltaCRLTest4EE
4.15.5 valid ValiddeltaCRLTest5EE
4.15.6 invalid InvaliddeltaCRLTest6EE
4.15.7 valid ValiddeltaCRLTest7EE
4.15.8 valid ValiddeltaCRLTest8EE
4.15.9 invalid InvaliddeltaCRLTest9EE
4.15.10 invalid InvaliddeltaCRLTest10EE
4.16.1 valid ValidUnknownNotCriticalCertificateExtensionTest1EE
4.16.2 invalid InvalidUnknownCriticalCertificateExtensionTest2EE
`;

export interface PkitsVector {
  /** `4.8.1/2`: section, test, subpart. */
  readonly id: string;
  readonly valid: boolean;
  /** File name of the certificate without `.crt`. */
  readonly leaf: string;
  /** Dotted; undefined: any policy. */
  readonly initialSet: readonly string[] | undefined;
  readonly requireExplicit: boolean;
  readonly inhibitMapping: boolean;
  readonly inhibitAny: boolean;
}

const testPolicies = '2.16.840.1.101.3.2.1.48';

export const pkitsVectors: readonly PkitsVector[] = table.trim().split('\n').map(readLine);

function readLine(line: string): PkitsVector {
  const [id = '', verdict, leaf = '', ...inputs] = line.split(' ');
  const at = inputs.indexOf('policies');
  return {
    id,
    valid: verdict === 'valid',
    leaf,
    initialSet: at === -1 ? undefined : inputs[at + 1]?.split('+').map((number) => `${testPolicies}.${number}`),
    requireExplicit: inputs.includes('explicit'),
    inhibitMapping: inputs.includes('no-mapping'),
    inhibitAny: inputs.includes('no-any'),
  };
}
