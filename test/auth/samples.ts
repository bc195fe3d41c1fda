/** Something that fits the input schema of each operation. */
export function sampleInput(operation: string): object {
  const rules = [{ effect: 'allow', operations: ['**'], resources: ['**'] }];
  const approval = { id: `apr_${'0'.repeat(26)}` };
  const samples: Record<string, object> = {
    'auth.revoke_token': { id: `tok_${'0'.repeat(26)}` },
    'auth.create_principal': { name: 'x', kind: 'agent' },
    'auth.get_principal': { name: 'admin' },
    'auth.update_principal': { name: 'admin', description: 'x' },
    'auth.delete_principal': { name: 'admin' },
    'auth.create_key': { principal: 'admin' },
    'auth.list_keys': { principal: 'admin' },
    'auth.revoke_key': { principal: 'admin', id: `key_${'0'.repeat(26)}` },
    'auth.create_namespace': { name: 'x' },
    'auth.get_namespace': { name: 'root' },
    'auth.delete_namespace': { name: 'x' },
    'policy.create_policy': { name: 'x', rules },
    'policy.put_policy': { name: 'x', rules },
    'policy.get_policy': { name: 'auditor' },
    'policy.delete_policy': { name: 'x' },
    'policy.test_policy': { operation: 'mill.get_mill', resource: 'mill/mills/a' },
    'policy.get_approval': approval,
    'policy.approve_request': approval,
    'policy.reject_request': approval,
    'mill.grind_corn': { mill: 'a' },
    'mill.get_mill': { mill: 'a' },
  };
  return samples[operation] ?? {};
}
