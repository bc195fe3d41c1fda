import { oids } from './oid.ts';

/** How the value of an attribute is encoded. */
type Form = 'utf8' | 'printable' | 'country' | 'ia5';

export interface AttributeType {
  readonly oid: string;
  /** As RFC 4514 text shows it (RFC 4514 §3, RFC 4519; the PKIX name where those have none). */
  readonly keyword: string;
  /** Upper bound in characters (RFC 5280 appendix A.1; X.520 where it is silent). */
  readonly maxLength: number;
  readonly form: Form;
}

function attribute(dotted: string, keyword: string, maxLength: number, form: Form = 'utf8'): AttributeType {
  return { oid: dotted, keyword, maxLength, form };
}

/** The attribute types of names that have a name in requests, in the order of a conventional subject. */
export const attributeTypes = {
  country: attribute(oids.countryName, 'C', 2, 'country'),
  province: attribute(oids.stateOrProvinceName, 'ST', 128),
  locality: attribute(oids.localityName, 'L', 128),
  street_address: attribute(oids.streetAddress, 'STREET', 128),
  postal_code: attribute(oids.postalCode, 'postalCode', 40),
  domain_component: attribute(oids.domainComponent, 'DC', 63, 'ia5'),
  organization: attribute(oids.organizationName, 'O', 64),
  organization_identifier: attribute(oids.organizationIdentifier, 'organizationIdentifier', 256),
  organizational_unit: attribute(oids.organizationalUnitName, 'OU', 64),
  business_category: attribute(oids.businessCategory, 'businessCategory', 128),
  title: attribute(oids.title, 'title', 64),
  name: attribute(oids.name, 'name', 32_768),
  surname: attribute(oids.surname, 'SN', 32_768),
  given_name: attribute(oids.givenName, 'givenName', 32_768),
  initials: attribute(oids.initials, 'initials', 32_768),
  generation_qualifier: attribute(oids.generationQualifier, 'generationQualifier', 32_768),
  pseudonym: attribute(oids.pseudonym, 'pseudonym', 128),
  dn_qualifier: attribute(oids.dnQualifier, 'dnQualifier', 64, 'printable'),
  serial_number: attribute(oids.subjectSerialNumber, 'serialNumber', 64, 'printable'),
  common_name: attribute(oids.commonName, 'CN', 64),
  user_id: attribute(oids.userId, 'UID', 256),
  email_address: attribute(oids.emailAddress, 'emailAddress', 255, 'ia5'),
} as const satisfies Record<string, AttributeType>;

export type AttributeTypeName = keyof typeof attributeTypes;

const byName = new Map<string, AttributeType>(Object.entries(attributeTypes));
const nameByOid = new Map<string, string>(Object.entries(attributeTypes).map(([name, type]) => [type.oid, name]));

/** The attribute type of this name or dotted identifier; undefined when it has no entry. */
export function describeAttributeType(type: string): AttributeType | undefined {
  return byName.get(type) ?? byName.get(nameByOid.get(type) ?? '');
}

/** The name of a dotted identifier in `attributeTypes`, or the identifier itself. */
export function attributeTypeOf(dotted: string): string {
  return nameByOid.get(dotted) ?? dotted;
}
