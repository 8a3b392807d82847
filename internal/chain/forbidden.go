package chain

import (
	"encoding/hex"
	"strings"

	"github.com/ethereum/go-ethereum/crypto"

	"caos/internal/ethereum"
)

// What a program must not do with a contract, because it decides who may do what, or
// whether anything may be done: people do that, with keys that CAOS does not have. A
// function is known by its name, whatever its parameters, and by its selector, whatever its
// name: an ABI is only what somebody says of a contract, and two signatures can have one
// selector.

// forbiddenNames are names in lower case.
var forbiddenNames = map[string]string{
	"grantrole": "it gives a role away", "revokerole": "it takes a role away", "renouncerole": "it gives a role up", "setroleadmin": "it decides who gives roles",
	"transferownership": "it gives the contract away", "renounceownership": "it gives the contract up", "acceptownership": "it takes the contract over",
	"setowner": "it gives the contract away", "changeowner": "it gives the contract away", "setadmin": "it gives the contract away", "changeadmin": "it gives the contract away",
	"transferadmin": "it gives the contract away", "setauthority": "it decides who may do what",
	"begindefaultadmintransfer": "it gives the contract away", "acceptdefaultadmintransfer": "it takes the contract over", "canceldefaultadmintransfer": "it decides who has the contract",
	"changedefaultadmindelay": "it decides who has the contract", "rollbackdefaultadmindelay": "it decides who has the contract",
	"pause": "it stops the contract", "unpause": "it lets the contract go on", "selfdestruct": "it ends the contract", "destroy": "it ends the contract", "kill": "it ends the contract",
	"grantroles": "it gives roles away", "revokeroles": "it takes roles away", "renounceroles": "it gives roles up", "setroleguardian": "it decides who takes roles away",
	"setgrantdelay": "it decides who gives roles", "settargetfunctionrole": "it decides who may do what", "settargetclosed": "it stops a contract",
	"settargetadmindelay": "it decides who may do what", "updateauthority": "it decides who may do what",
	"requestownershiphandover": "it asks for the contract", "cancelownershiphandover": "it decides who has the contract", "completeownershiphandover": "it gives the contract away",
	"claimownership": "it takes the contract over", "setpendingowner": "it gives the contract away", "setpendingadmin": "it gives the contract away", "acceptadmin": "it takes the contract over",
	"addowner": "it gives power away", "removeowner": "it takes power away", "addownerwiththreshold": "it gives power away", "swapowner": "it gives power away",
	"changethreshold": "it decides who may do what", "addadmin": "it gives power away", "removeadmin": "it takes power away", "enablemodule": "it can call anything",
	"disablemodule": "it decides who may do what", "setguard": "it decides who may do what", "setfallbackhandler": "it changes the contract",
	"diamondcut": "it changes the contract", "setbeacon": "it changes the contract", "changeproxyadmin": "it gives the contract away",
	"setimplementation": "it changes the contract", "initialize": "it sets the contract up", "reinitialize": "it sets the contract up",
	"multicall": "it can call anything", "aggregate": "it can call anything", "execute": "it can call anything", "executebatch": "it can call anything",
	"exec": "it can call anything", "exectransaction": "it can call anything", "delegatecall": "it can call anything", "functioncall": "it can call anything", "schedule": "it can call anything",
	"schedulebatch": "it can call anything", "exectransactionfrommodule": "it can call anything", "aggregate3": "it can call anything", "aggregate3value": "it can call anything",
	"tryaggregate": "it can call anything", "blockandaggregate": "it can call anything", "tryblockandaggregate": "it can call anything",
}

// forbiddenSignatures are the usual forms of them, for their selectors.
var forbiddenSignatures = []string{
	"grantRole(bytes32,address)", "revokeRole(bytes32,address)", "renounceRole(bytes32,address)", "grantRole(uint64,address,uint32)", "revokeRole(uint64,address)",
	"transferOwnership(address)", "renounceOwnership()", "acceptOwnership()", "setOwner(address)", "changeOwner(address)", "setAdmin(address)", "changeAdmin(address)",
	"setAuthority(address)", "beginDefaultAdminTransfer(address)", "acceptDefaultAdminTransfer()", "cancelDefaultAdminTransfer()", "changeDefaultAdminDelay(uint48)",
	"rollbackDefaultAdminDelay()", "pause()", "unpause()", "destroy()", "kill()", "upgradeTo(address)", "upgradeToAndCall(address,bytes)", "upgrade(address,address)",
	"upgradeAndCall(address,address,bytes)", "setImplementation(address)", "initialize()", "multicall(bytes[])", "execute(address,uint256,bytes)",
	"execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
	"diamondCut((address,uint8,bytes4[])[],address,bytes)", "setBeacon(address)", "changeProxyAdmin(address,address)",
	"grantRoles(address,uint256)", "revokeRoles(address,uint256)", "renounceRoles(uint256)", "requestOwnershipHandover()", "cancelOwnershipHandover()",
	"completeOwnershipHandover(address)", "setRoleAdmin(bytes32,bytes32)", "setRoleAdmin(uint64,uint64)", "setRoleGuardian(uint64,uint64)", "renounceRole(uint64,address)",
	"setGrantDelay(uint64,uint32)", "setTargetFunctionRole(address,bytes4[],uint64)", "setTargetClosed(address,bool)", "setTargetAdminDelay(address,uint32)", "updateAuthority(address,address)",
	"schedule(address,bytes,uint48)", "execute(address,bytes)", "schedule(address,uint256,bytes,bytes32,bytes32,uint256)", "scheduleBatch(address[],uint256[],bytes[],bytes32,bytes32,uint256)",
	"execute(address,uint256,bytes,bytes32,bytes32)", "executeBatch(address[],uint256[],bytes[],bytes32,bytes32)", "addOwnerWithThreshold(address,uint256)",
	"removeOwner(address,address,uint256)", "swapOwner(address,address,address)", "changeThreshold(uint256)", "enableModule(address)", "setGuard(address)",
	"setFallbackHandler(address)", "execTransactionFromModule(address,uint256,bytes,uint8)", "claimOwnership()", "setPendingAdmin(address)", "acceptAdmin()",
}

// forbidden says why CAOS never calls a function, "" if it may be allowed.
func forbidden(f ethereum.Function) string {
	name := strings.ToLower(strings.Trim(f.Name, "_"))
	if why := forbiddenNames[name]; why != "" {
		return why
	}
	if strings.HasPrefix(name, "upgrade") {
		return "it changes the contract"
	}
	selector := crypto.Keccak256([]byte(f.Signature))[:4]
	for _, s := range forbiddenSignatures {
		if string(crypto.Keccak256([]byte(s))[:4]) == string(selector) {
			return "its selector 0x" + hex.EncodeToString(selector) + " is that of " + s
		}
	}
	return ""
}
