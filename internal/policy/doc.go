// Package policy decides who may do what. The rules are Cedar policies: the ones CAOS
// ships lie in the folder cedar, an operator may add a folder of more. This package knows
// no database and no clock; package auth gathers the facts and asks.
//
// Denied is the default, and so is every doubt: a policy that fails while it is evaluated,
// an action or attribute that the schema does not have, a value of the wrong type. A
// forbid wins over every permit, so the guards in cedar/guards.cedar hold against an
// operator's policies too. What a policy may say is checked when it is loaded, against
// cedar/caos.cedarschema: Cedar itself would skip a policy that errs, and a forbid that is
// skipped lets things through.
//
// # Who may do what
//
// The roles' own powers, each on the things of others and within need-to-know (projects
// and clearances). "*" needs a second factor in the same request. The complete table,
// role by role and action by action, is testdata/matrix.golden; a change of any policy
// shows there.
//
//	role                   may
//	any account            read its own account, tokens, keys, notices, executions, records and evidence; cancel its own
//	                       executions; revoke its own tokens and keys; people also: create own tokens*, enrol own keys*,
//	                       enrol a second factor, replace it*
//	any role               read hooks, roles and policies
//	every programme role   read executions, evidence, objects, packages, alerts, triggers
//	                       (programme roles: all but admin and service)
//	admin                  accounts: read, create*, disable*, enable*, scope*; roles: grant*, revoke*; tokens: first one of a
//	                       person and those of services*, read, revoke; reset a second factor*; keys: read, revoke;
//	                       submit CERT.AUDIT; read executions, alerts, triggers, records, metrics; cancel executions;
//	                       write triggers*; recover the log*
//	auditor                read and prove records, export them; export packages; read accounts, tokens, keys
//	certification          submit CERT.AUDIT, CERT.EVIDENCE; on-behalf; upload; packages: create, plan, close*, export;
//	                       records: read, prove, export
//	chief-engineer         decide executions*; records: read, prove; countersign keys*, read and revoke them; recover the log*
//	configuration-manager  submit CERT.AUDIT; on-behalf; register hooks*; records: read, prove; countersign keys*, read, revoke
//	data-engineer          submit CERT.EVIDENCE; upload; acknowledge alerts
//	incident-responder     submit CERT.AUDIT; cancel, retry executions; acknowledge, close alerts; records: read, prove;
//	                       keys: read, revoke; metrics
//	mlops-engineer         submit CERT.AUDIT, CERT.EVIDENCE; upload; cancel, retry executions; acknowledge alerts;
//	                       write triggers*; metrics
//	model-owner            what every programme role may
//	prr-board              decide executions*
//	qa-lead                decide executions*; records: read, prove, export; export packages; close alerts;
//	                       countersign keys*, read, revoke; recover the log*
//	release-manager        submit CERT.AUDIT; cancel, retry executions, decide*; records: read, prove
//	safety-engineer        decide executions*; records: read, prove; acknowledge, close alerts
//	service                submit CERT.AUDIT, CERT.EVIDENCE; on-behalf; upload; metrics; nothing sensitive
//	vv-lead                submit CERT.EVIDENCE; upload; plan packages
//
// Roles that do not go together: admin with any approving, releasing or auditing role;
// chief-engineer with qa-lead; auditor and service with anything.
package policy
