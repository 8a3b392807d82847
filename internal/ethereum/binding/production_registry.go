// Code generated via abigen V2 - DO NOT EDIT.
// `make contracts` writes it from contracts/ProductionRegistry.sol; a change made here is lost.

package binding

import (
	"bytes"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Reference imports to suppress errors if they are not otherwise used.
var (
	_ = bytes.Equal
	_ = errors.New
	_ = big.NewInt
	_ = common.Big1
	_ = types.BloomLookup
	_ = abi.ConvertType
)

// ProductionRegistryMetaData contains all meta data concerning the ProductionRegistry contract.
var ProductionRegistryMetaData = bind.MetaData{
	ABI: "[{\"inputs\":[{\"internalType\":\"address\",\"name\":\"admin\",\"type\":\"address\"}],\"stateMutability\":\"nonpayable\",\"type\":\"constructor\"},{\"inputs\":[],\"name\":\"AccessControlBadConfirmation\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"},{\"internalType\":\"bytes32\",\"name\":\"neededRole\",\"type\":\"bytes32\"}],\"name\":\"AccessControlUnauthorizedAccount\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"field\",\"type\":\"string\"}],\"name\":\"EmptyText\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"EmptyTree\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"EnforcedPause\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"ExpectedPause\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"uint64\",\"name\":\"treeSize\",\"type\":\"uint64\"},{\"internalType\":\"bytes32\",\"name\":\"recorded\",\"type\":\"bytes32\"},{\"internalType\":\"bytes32\",\"name\":\"stated\",\"type\":\"bytes32\"}],\"name\":\"ForkedAnchor\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"uint64\",\"name\":\"stated\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"last\",\"type\":\"uint64\"}],\"name\":\"StaleAnchor\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"field\",\"type\":\"string\"},{\"internalType\":\"uint256\",\"name\":\"max\",\"type\":\"uint256\"}],\"name\":\"TextTooLong\",\"type\":\"error\"},{\"inputs\":[{\"internalType\":\"uint64\",\"name\":\"stated\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"blockTime\",\"type\":\"uint64\"}],\"name\":\"TimestampInFuture\",\"type\":\"error\"},{\"inputs\":[],\"name\":\"ZeroHash\",\"type\":\"error\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"originHash\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"uint64\",\"name\":\"treeSize\",\"type\":\"uint64\"},{\"indexed\":false,\"internalType\":\"bytes32\",\"name\":\"rootHash\",\"type\":\"bytes32\"},{\"indexed\":false,\"internalType\":\"string\",\"name\":\"origin\",\"type\":\"string\"}],\"name\":\"LogAnchored\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":false,\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"}],\"name\":\"Paused\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"key\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"contentHash\",\"type\":\"bytes32\"},{\"indexed\":false,\"internalType\":\"string\",\"name\":\"modelId\",\"type\":\"string\"},{\"indexed\":false,\"internalType\":\"string\",\"name\":\"version\",\"type\":\"string\"},{\"indexed\":false,\"internalType\":\"uint64\",\"name\":\"timestamp\",\"type\":\"uint64\"},{\"indexed\":false,\"internalType\":\"address\",\"name\":\"recorder\",\"type\":\"address\"}],\"name\":\"ProductionRecorded\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"previousAdminRole\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"newAdminRole\",\"type\":\"bytes32\"}],\"name\":\"RoleAdminChanged\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"sender\",\"type\":\"address\"}],\"name\":\"RoleGranted\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":true,\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"},{\"indexed\":true,\"internalType\":\"address\",\"name\":\"sender\",\"type\":\"address\"}],\"name\":\"RoleRevoked\",\"type\":\"event\"},{\"anonymous\":false,\"inputs\":[{\"indexed\":false,\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"}],\"name\":\"Unpaused\",\"type\":\"event\"},{\"inputs\":[],\"name\":\"ANCHORER_ROLE\",\"outputs\":[{\"internalType\":\"bytes32\",\"name\":\"\",\"type\":\"bytes32\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"DEFAULT_ADMIN_ROLE\",\"outputs\":[{\"internalType\":\"bytes32\",\"name\":\"\",\"type\":\"bytes32\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"MAX_AHEAD\",\"outputs\":[{\"internalType\":\"uint64\",\"name\":\"\",\"type\":\"uint64\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"MAX_MODEL_ID\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"MAX_ORIGIN\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"MAX_VERSION\",\"outputs\":[{\"internalType\":\"uint256\",\"name\":\"\",\"type\":\"uint256\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"PAUSER_ROLE\",\"outputs\":[{\"internalType\":\"bytes32\",\"name\":\"\",\"type\":\"bytes32\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"RECORDER_ROLE\",\"outputs\":[{\"internalType\":\"bytes32\",\"name\":\"\",\"type\":\"bytes32\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"origin\",\"type\":\"string\"},{\"internalType\":\"uint64\",\"name\":\"treeSize\",\"type\":\"uint64\"},{\"internalType\":\"bytes32\",\"name\":\"rootHash\",\"type\":\"bytes32\"}],\"name\":\"anchorLog\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"created\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"origin\",\"type\":\"string\"},{\"internalType\":\"uint64\",\"name\":\"treeSize\",\"type\":\"uint64\"}],\"name\":\"anchorOf\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"exists\",\"type\":\"bool\"},{\"internalType\":\"bytes32\",\"name\":\"rootHash\",\"type\":\"bytes32\"},{\"internalType\":\"uint64\",\"name\":\"blockNumber\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"blockTime\",\"type\":\"uint64\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"}],\"name\":\"getRoleAdmin\",\"outputs\":[{\"internalType\":\"bytes32\",\"name\":\"\",\"type\":\"bytes32\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"}],\"name\":\"grantRole\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"}],\"name\":\"hasRole\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"origin\",\"type\":\"string\"}],\"name\":\"lastAnchor\",\"outputs\":[{\"internalType\":\"uint64\",\"name\":\"treeSize\",\"type\":\"uint64\"},{\"internalType\":\"bytes32\",\"name\":\"rootHash\",\"type\":\"bytes32\"},{\"internalType\":\"uint64\",\"name\":\"blockNumber\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"blockTime\",\"type\":\"uint64\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"pause\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"paused\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"modelId\",\"type\":\"string\"},{\"internalType\":\"string\",\"name\":\"version\",\"type\":\"string\"},{\"internalType\":\"bytes32\",\"name\":\"contentHash\",\"type\":\"bytes32\"}],\"name\":\"recordOf\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"exists\",\"type\":\"bool\"},{\"internalType\":\"uint64\",\"name\":\"timestamp\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"blockNumber\",\"type\":\"uint64\"},{\"internalType\":\"uint64\",\"name\":\"blockTime\",\"type\":\"uint64\"},{\"internalType\":\"address\",\"name\":\"recorder\",\"type\":\"address\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"string\",\"name\":\"modelId\",\"type\":\"string\"},{\"internalType\":\"string\",\"name\":\"version\",\"type\":\"string\"},{\"internalType\":\"bytes32\",\"name\":\"contentHash\",\"type\":\"bytes32\"},{\"internalType\":\"uint64\",\"name\":\"timestamp\",\"type\":\"uint64\"}],\"name\":\"recordProduction\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"created\",\"type\":\"bool\"}],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"internalType\":\"address\",\"name\":\"callerConfirmation\",\"type\":\"address\"}],\"name\":\"renounceRole\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes32\",\"name\":\"role\",\"type\":\"bytes32\"},{\"internalType\":\"address\",\"name\":\"account\",\"type\":\"address\"}],\"name\":\"revokeRole\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"},{\"inputs\":[{\"internalType\":\"bytes4\",\"name\":\"interfaceId\",\"type\":\"bytes4\"}],\"name\":\"supportsInterface\",\"outputs\":[{\"internalType\":\"bool\",\"name\":\"\",\"type\":\"bool\"}],\"stateMutability\":\"view\",\"type\":\"function\"},{\"inputs\":[],\"name\":\"unpause\",\"outputs\":[],\"stateMutability\":\"nonpayable\",\"type\":\"function\"}]",
	ID:  "ProductionRegistry",
	Bin: "0x608060405234801561001057600080fd5b506040516115cc3803806115cc83398101604081905261002f91610118565b61003a60008261006c565b506100657f65d7a28e3265b37a6474929f336521b332c1681b933f6cb9f3376673440d862a8261006c565b5050610148565b6000828152602081815260408083206001600160a01b038516845290915281205460ff1661010e576000838152602081815260408083206001600160a01b03861684529091529020805460ff191660011790556100c63390565b6001600160a01b0316826001600160a01b0316847f2f8788117e7eff1d82e926ec794901d17c78024a50270940304540a733656f0d60405160405180910390a4506001610112565b5060005b92915050565b60006020828403121561012a57600080fd5b81516001600160a01b038116811461014157600080fd5b9392505050565b611475806101576000396000f3fe608060405234801561001057600080fd5b50600436106101825760003560e01c8063773267e2116100d8578063ab72f78b1161008c578063d547741f11610066578063d547741f14610395578063e63ab1e9146103a8578063e8ef2834146103cf57600080fd5b8063ab72f78b146102e2578063b12868dc14610329578063bea865811461036e57600080fd5b80638456cb59116100bd5780638456cb591461029b57806391d14854146102a3578063a217fddf146102da57600080fd5b8063773267e21461026c5780637cfd9a511461027457600080fd5b806336568abe1161013a5780635c975abb116101145780635c975abb1461022c5780636107e723146102375780636354b81b1461024a57600080fd5b806336568abe146102115780633f4ba83a146102245780634810b7e71461020857600080fd5b80632f2ff15d1161016b5780632f2ff15d146101e05780632f4027e4146101f557806333de77661461020857600080fd5b806301ffc9a714610187578063248a9ca3146101af575b600080fd5b61019a610195366004610fbc565b610424565b60405190151581526020015b60405180910390f35b6101d26101bd366004610fed565b60009081526020819052604090206001015490565b6040519081526020016101a6565b6101f36101ee366004611006565b61048d565b005b61019a6102033660046110a8565b6104b8565b6101d261010081565b6101f361021f366004611006565b6107b2565b6101f3610803565b60015460ff1661019a565b61019a610245366004611104565b610838565b61025361038481565b60405167ffffffffffffffff90911681526020016101a6565b6101d2608081565b6101d27f4b3e6527f1b0d33beb6c20e3c362af276f03c4526b5f8b6d118672f0d75a60eb81565b6101f3610aae565b61019a6102b1366004611006565b6000918252602082815260408084206001600160a01b0393909316845291905290205460ff1690565b6101d2600081565b6102f56102f0366004611191565b610ae0565b6040805167ffffffffffffffff958616815260208101949094529184169183019190915290911660608201526080016101a6565b61033c6103373660046111d3565b610b5a565b604080519415158552602085019390935267ffffffffffffffff918216928401929092521660608201526080016101a6565b6101d27ff996da754c790e95d5c7ca3330cfcad529487fe9d1d8edb7afc65076fdf9adb481565b6101f36103a3366004611006565b610bd3565b6101d27f65d7a28e3265b37a6474929f336521b332c1681b933f6cb9f3376673440d862a81565b6103e26103dd366004611227565b610bf8565b60408051951515865267ffffffffffffffff94851660208701529284169285019290925290911660608301526001600160a01b0316608082015260a0016101a6565b60006001600160e01b031982167f7965db0b00000000000000000000000000000000000000000000000000000000148061048757507f01ffc9a7000000000000000000000000000000000000000000000000000000006001600160e01b03198316145b92915050565b6000828152602081905260409020600101546104a881610c92565b6104b28383610c9c565b50505050565b60007f4b3e6527f1b0d33beb6c20e3c362af276f03c4526b5f8b6d118672f0d75a60eb6104e481610c92565b6104ec610d46565b61052f6040518060400160405280600681526020017f6f726967696e00000000000000000000000000000000000000000000000000008152508787610100610d85565b8367ffffffffffffffff16600003610573576040517f9136328700000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b60008390036105955760405163f1ae58d560e01b815260040160405180910390fd5b600086866040516105a79291906112a0565b604080519182900390912060008181526003602052919091205490915067ffffffffffffffff908116908616811115610625576040517f4de249d200000000000000000000000000000000000000000000000000000000815267ffffffffffffffff8088166004830152821660248201526044015b60405180910390fd5b8067ffffffffffffffff168667ffffffffffffffff16036106c357600082815260046020908152604080832067ffffffffffffffff851684529091529020548581146106b7576040517f67a8bb0000000000000000000000000000000000000000000000000000000000815267ffffffffffffffff88166004820152602481018290526044810187905260640161061c565b600094505050506107a9565b6000828152600360209081526040808320805467ffffffffffffffff808c1667ffffffffffffffff19909216821790925582516060810184528a8152438316818601908152428416828601908152898852600487528588208489529096529584902090518155945160019590950180549451831668010000000000000000026fffffffffffffffffffffffffffffffff199095169590921694909417929092179091555183907f41c49877b9a80bb6333195533a8781148440aaf0785ed8a065f28e874a491d309061079a9089908d908d906112d9565b60405180910390a36001935050505b50949350505050565b6001600160a01b03811633146107f4576040517f6697b23200000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b6107fe8282610e00565b505050565b7f65d7a28e3265b37a6474929f336521b332c1681b933f6cb9f3376673440d862a61082d81610c92565b610835610e83565b50565b60007ff996da754c790e95d5c7ca3330cfcad529487fe9d1d8edb7afc65076fdf9adb461086481610c92565b61086c610d46565b6108af6040518060400160405280600781526020017f6d6f64656c4964000000000000000000000000000000000000000000000000008152508989610100610d85565b6108f16040518060400160405280600781526020017f76657273696f6e0000000000000000000000000000000000000000000000000081525087876080610d85565b60008490036109135760405163f1ae58d560e01b815260040160405180910390fd5b61091f610384426112fc565b8367ffffffffffffffff161115610976576040517fc550f38900000000000000000000000000000000000000000000000000000000815267ffffffffffffffff80851660048301524216602482015260440161061c565b60008888888888604051602001610991959493929190611336565b60408051601f1981840301815291815281516020928301206000818152600290935291208054919250906001600160a01b0316156109d457600093505050610aa3565b805467ffffffffffffffff808716600160a01b027fffffffff0000000000000000ffffffffffffffffffffffffffffffffffffffff339081166001600160e01b03199094169390931717835560018301805442831668010000000000000000026fffffffffffffffffffffffffffffffff199091164390931692909217919091179055604051879184917fc36059bb89cd80c5ab1214dd4adfbff0995000bbc633f633b0e75fae3bbd0d3991610a94918f918f918f918f918e9190611370565b60405180910390a36001935050505b509695505050505050565b7f65d7a28e3265b37a6474929f336521b332c1681b933f6cb9f3376673440d862a610ad881610c92565b610835610ed5565b60008060008060008686604051610af89291906112a0565b6040805191829003909120600090815260036020908152828220546004825283832067ffffffffffffffff9182168085529252929091208054600190910154919a90995081831698506801000000000000000090910490911695509350505050565b6000806000806000600460008989604051610b769291906112a0565b60408051918290039091208252602080830193909352908101600090812067ffffffffffffffff808b1683529352208054600190910154811515975090955080821694506801000000000000000090041691505093509350935093565b600082815260208190526040902060010154610bee81610c92565b6104b28383610e00565b600080600080600080600260008c8c8c8c8c604051602001610c1e959493929190611336565b60408051808303601f1901815291815281516020928301208352908201929092520160002080546001909101546001600160a01b0382168015159e600160a01b90930467ffffffffffffffff9081169e508083169d50680100000000000000009092049091169a5098509650505050505050565b6108358133610f10565b6000828152602081815260408083206001600160a01b038516845290915281205460ff16610d3e576000838152602081815260408083206001600160a01b03861684529091529020805460ff19166001179055610cf63390565b6001600160a01b0316826001600160a01b0316847f2f8788117e7eff1d82e926ec794901d17c78024a50270940304540a733656f0d60405160405180910390a4506001610487565b506000610487565b60015460ff1615610d83576040517fd93c066500000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b565b6000829003610dc257836040517f9fe465fb00000000000000000000000000000000000000000000000000000000815260040161061c919061140a565b808211156104b25783816040517fafa076da00000000000000000000000000000000000000000000000000000000815260040161061c92919061141d565b6000828152602081815260408083206001600160a01b038516845290915281205460ff1615610d3e576000838152602081815260408083206001600160a01b0386168085529252808320805460ff1916905551339286917ff6391f5c32d9c69d2a47ea670b442974b53935d1edc7fd64eb21e047a839171b9190a4506001610487565b610e8b610f80565b6001805460ff191690557f5db9ee0a495bf2e6ff9c91a7834c1ba4fdd244a5e8aa4e537bd38aeae4b073aa335b6040516001600160a01b03909116815260200160405180910390a1565b610edd610d46565b6001805460ff1916811790557f62e78cea01bee320cd4e420270b5ea74000d11b0c9f74754ebdbfc544b05a25833610eb8565b6000828152602081815260408083206001600160a01b038516845290915290205460ff16610f7c576040517fe2517d3f0000000000000000000000000000000000000000000000000000000081526001600160a01b03821660048201526024810183905260440161061c565b5050565b60015460ff16610d83576040517f8dfc202b00000000000000000000000000000000000000000000000000000000815260040160405180910390fd5b600060208284031215610fce57600080fd5b81356001600160e01b031981168114610fe657600080fd5b9392505050565b600060208284031215610fff57600080fd5b5035919050565b6000806040838503121561101957600080fd5b8235915060208301356001600160a01b038116811461103757600080fd5b809150509250929050565b60008083601f84011261105457600080fd5b50813567ffffffffffffffff81111561106c57600080fd5b60208301915083602082850101111561108457600080fd5b9250929050565b803567ffffffffffffffff811681146110a357600080fd5b919050565b600080600080606085870312156110be57600080fd5b843567ffffffffffffffff8111156110d557600080fd5b6110e187828801611042565b90955093506110f490506020860161108b565b9396929550929360400135925050565b6000806000806000806080878903121561111d57600080fd5b863567ffffffffffffffff81111561113457600080fd5b61114089828a01611042565b909750955050602087013567ffffffffffffffff81111561116057600080fd5b61116c89828a01611042565b909550935050604087013591506111856060880161108b565b90509295509295509295565b600080602083850312156111a457600080fd5b823567ffffffffffffffff8111156111bb57600080fd5b6111c785828601611042565b90969095509350505050565b6000806000604084860312156111e857600080fd5b833567ffffffffffffffff8111156111ff57600080fd5b61120b86828701611042565b909450925061121e90506020850161108b565b90509250925092565b60008060008060006060868803121561123f57600080fd5b853567ffffffffffffffff81111561125657600080fd5b61126288828901611042565b909650945050602086013567ffffffffffffffff81111561128257600080fd5b61128e88828901611042565b96999598509660400135949350505050565b8183823760009101908152919050565b81835281816020850137506000828201602090810191909152601f909101601f19169091010190565b8381526040602082015260006112f36040830184866112b0565b95945050505050565b80820180821115610487577f4e487b7100000000000000000000000000000000000000000000000000000000600052601160045260246000fd5b60608152600061134a6060830187896112b0565b828103602084015261135d8186886112b0565b9150508260408301529695505050505050565b60808152600061138460808301888a6112b0565b82810360208401526113978187896112b0565b91505067ffffffffffffffff841660408301526001600160a01b0383166060830152979650505050505050565b6000815180845260005b818110156113ea576020818501810151868301820152016113ce565b506000602082860101526020601f19601f83011685010191505092915050565b602081526000610fe660208301846113c4565b60408152600061143060408301856113c4565b9050826020830152939250505056fea2646970667358221220d832b4ed6d3b2bad3fcfe412c74dbde3b2abffc11b6a71d5c6afde40d9c45a7964736f6c63430008250033",
}

// ProductionRegistry is an auto generated Go binding around an Ethereum contract.
type ProductionRegistry struct {
	abi abi.ABI
}

// GetABI returns the ABI associated with this contract binding.
func (c *ProductionRegistry) GetABI() abi.ABI {
	return c.abi
}

// NewProductionRegistry creates a new instance of ProductionRegistry.
func NewProductionRegistry() *ProductionRegistry {
	parsed, err := ProductionRegistryMetaData.ParseABI()
	if err != nil {
		panic(errors.New("invalid ABI: " + err.Error()))
	}
	return &ProductionRegistry{abi: *parsed}
}

// Instance creates a wrapper for a deployed contract instance at the given address.
// Use this to create the instance object passed to abigen v2 library functions Call, Transact, etc.
func (c *ProductionRegistry) Instance(backend bind.ContractBackend, addr common.Address) *bind.BoundContract {
	return bind.NewBoundContract(addr, c.abi, backend, backend, backend)
}

// PackConstructor is the Go binding used to pack the parameters required for
// contract deployment.
//
// Solidity: constructor(address admin) returns()
func (productionRegistry *ProductionRegistry) PackConstructor(admin common.Address) []byte {
	enc, err := productionRegistry.abi.Pack("", admin)
	if err != nil {
		panic(err)
	}
	return enc
}

// PackANCHORERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7cfd9a51.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function ANCHORER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) PackANCHORERROLE() []byte {
	enc, err := productionRegistry.abi.Pack("ANCHORER_ROLE")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackANCHORERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x7cfd9a51.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function ANCHORER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) TryPackANCHORERROLE() ([]byte, error) {
	return productionRegistry.abi.Pack("ANCHORER_ROLE")
}

// UnpackANCHORERROLE is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x7cfd9a51.
//
// Solidity: function ANCHORER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) UnpackANCHORERROLE(data []byte) ([32]byte, error) {
	out, err := productionRegistry.abi.Unpack("ANCHORER_ROLE", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackDEFAULTADMINROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa217fddf.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function DEFAULT_ADMIN_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) PackDEFAULTADMINROLE() []byte {
	enc, err := productionRegistry.abi.Pack("DEFAULT_ADMIN_ROLE")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackDEFAULTADMINROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xa217fddf.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function DEFAULT_ADMIN_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) TryPackDEFAULTADMINROLE() ([]byte, error) {
	return productionRegistry.abi.Pack("DEFAULT_ADMIN_ROLE")
}

// UnpackDEFAULTADMINROLE is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xa217fddf.
//
// Solidity: function DEFAULT_ADMIN_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) UnpackDEFAULTADMINROLE(data []byte) ([32]byte, error) {
	out, err := productionRegistry.abi.Unpack("DEFAULT_ADMIN_ROLE", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackMAXAHEAD is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x6354b81b.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function MAX_AHEAD() view returns(uint64)
func (productionRegistry *ProductionRegistry) PackMAXAHEAD() []byte {
	enc, err := productionRegistry.abi.Pack("MAX_AHEAD")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMAXAHEAD is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x6354b81b.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function MAX_AHEAD() view returns(uint64)
func (productionRegistry *ProductionRegistry) TryPackMAXAHEAD() ([]byte, error) {
	return productionRegistry.abi.Pack("MAX_AHEAD")
}

// UnpackMAXAHEAD is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x6354b81b.
//
// Solidity: function MAX_AHEAD() view returns(uint64)
func (productionRegistry *ProductionRegistry) UnpackMAXAHEAD(data []byte) (uint64, error) {
	out, err := productionRegistry.abi.Unpack("MAX_AHEAD", data)
	if err != nil {
		return *new(uint64), err
	}
	out0 := *abi.ConvertType(out[0], new(uint64)).(*uint64)
	return out0, nil
}

// PackMAXMODELID is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x33de7766.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function MAX_MODEL_ID() view returns(uint256)
func (productionRegistry *ProductionRegistry) PackMAXMODELID() []byte {
	enc, err := productionRegistry.abi.Pack("MAX_MODEL_ID")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMAXMODELID is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x33de7766.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function MAX_MODEL_ID() view returns(uint256)
func (productionRegistry *ProductionRegistry) TryPackMAXMODELID() ([]byte, error) {
	return productionRegistry.abi.Pack("MAX_MODEL_ID")
}

// UnpackMAXMODELID is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x33de7766.
//
// Solidity: function MAX_MODEL_ID() view returns(uint256)
func (productionRegistry *ProductionRegistry) UnpackMAXMODELID(data []byte) (*big.Int, error) {
	out, err := productionRegistry.abi.Unpack("MAX_MODEL_ID", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackMAXORIGIN is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4810b7e7.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function MAX_ORIGIN() view returns(uint256)
func (productionRegistry *ProductionRegistry) PackMAXORIGIN() []byte {
	enc, err := productionRegistry.abi.Pack("MAX_ORIGIN")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMAXORIGIN is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x4810b7e7.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function MAX_ORIGIN() view returns(uint256)
func (productionRegistry *ProductionRegistry) TryPackMAXORIGIN() ([]byte, error) {
	return productionRegistry.abi.Pack("MAX_ORIGIN")
}

// UnpackMAXORIGIN is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x4810b7e7.
//
// Solidity: function MAX_ORIGIN() view returns(uint256)
func (productionRegistry *ProductionRegistry) UnpackMAXORIGIN(data []byte) (*big.Int, error) {
	out, err := productionRegistry.abi.Unpack("MAX_ORIGIN", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackMAXVERSION is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x773267e2.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function MAX_VERSION() view returns(uint256)
func (productionRegistry *ProductionRegistry) PackMAXVERSION() []byte {
	enc, err := productionRegistry.abi.Pack("MAX_VERSION")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackMAXVERSION is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x773267e2.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function MAX_VERSION() view returns(uint256)
func (productionRegistry *ProductionRegistry) TryPackMAXVERSION() ([]byte, error) {
	return productionRegistry.abi.Pack("MAX_VERSION")
}

// UnpackMAXVERSION is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x773267e2.
//
// Solidity: function MAX_VERSION() view returns(uint256)
func (productionRegistry *ProductionRegistry) UnpackMAXVERSION(data []byte) (*big.Int, error) {
	out, err := productionRegistry.abi.Unpack("MAX_VERSION", data)
	if err != nil {
		return new(big.Int), err
	}
	out0 := abi.ConvertType(out[0], new(big.Int)).(*big.Int)
	return out0, nil
}

// PackPAUSERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe63ab1e9.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function PAUSER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) PackPAUSERROLE() []byte {
	enc, err := productionRegistry.abi.Pack("PAUSER_ROLE")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackPAUSERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe63ab1e9.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function PAUSER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) TryPackPAUSERROLE() ([]byte, error) {
	return productionRegistry.abi.Pack("PAUSER_ROLE")
}

// UnpackPAUSERROLE is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xe63ab1e9.
//
// Solidity: function PAUSER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) UnpackPAUSERROLE(data []byte) ([32]byte, error) {
	out, err := productionRegistry.abi.Unpack("PAUSER_ROLE", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackRECORDERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xbea86581.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function RECORDER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) PackRECORDERROLE() []byte {
	enc, err := productionRegistry.abi.Pack("RECORDER_ROLE")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRECORDERROLE is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xbea86581.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function RECORDER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) TryPackRECORDERROLE() ([]byte, error) {
	return productionRegistry.abi.Pack("RECORDER_ROLE")
}

// UnpackRECORDERROLE is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xbea86581.
//
// Solidity: function RECORDER_ROLE() view returns(bytes32)
func (productionRegistry *ProductionRegistry) UnpackRECORDERROLE(data []byte) ([32]byte, error) {
	out, err := productionRegistry.abi.Unpack("RECORDER_ROLE", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackAnchorLog is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x2f4027e4.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function anchorLog(string origin, uint64 treeSize, bytes32 rootHash) returns(bool created)
func (productionRegistry *ProductionRegistry) PackAnchorLog(origin string, treeSize uint64, rootHash [32]byte) []byte {
	enc, err := productionRegistry.abi.Pack("anchorLog", origin, treeSize, rootHash)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAnchorLog is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x2f4027e4.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function anchorLog(string origin, uint64 treeSize, bytes32 rootHash) returns(bool created)
func (productionRegistry *ProductionRegistry) TryPackAnchorLog(origin string, treeSize uint64, rootHash [32]byte) ([]byte, error) {
	return productionRegistry.abi.Pack("anchorLog", origin, treeSize, rootHash)
}

// UnpackAnchorLog is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x2f4027e4.
//
// Solidity: function anchorLog(string origin, uint64 treeSize, bytes32 rootHash) returns(bool created)
func (productionRegistry *ProductionRegistry) UnpackAnchorLog(data []byte) (bool, error) {
	out, err := productionRegistry.abi.Unpack("anchorLog", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackAnchorOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb12868dc.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function anchorOf(string origin, uint64 treeSize) view returns(bool exists, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) PackAnchorOf(origin string, treeSize uint64) []byte {
	enc, err := productionRegistry.abi.Pack("anchorOf", origin, treeSize)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackAnchorOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xb12868dc.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function anchorOf(string origin, uint64 treeSize) view returns(bool exists, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) TryPackAnchorOf(origin string, treeSize uint64) ([]byte, error) {
	return productionRegistry.abi.Pack("anchorOf", origin, treeSize)
}

// AnchorOfOutput serves as a container for the return parameters of contract
// method AnchorOf.
type AnchorOfOutput struct {
	Exists      bool
	RootHash    [32]byte
	BlockNumber uint64
	BlockTime   uint64
}

// UnpackAnchorOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xb12868dc.
//
// Solidity: function anchorOf(string origin, uint64 treeSize) view returns(bool exists, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) UnpackAnchorOf(data []byte) (AnchorOfOutput, error) {
	out, err := productionRegistry.abi.Unpack("anchorOf", data)
	outstruct := new(AnchorOfOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.Exists = *abi.ConvertType(out[0], new(bool)).(*bool)
	outstruct.RootHash = *abi.ConvertType(out[1], new([32]byte)).(*[32]byte)
	outstruct.BlockNumber = *abi.ConvertType(out[2], new(uint64)).(*uint64)
	outstruct.BlockTime = *abi.ConvertType(out[3], new(uint64)).(*uint64)
	return *outstruct, nil
}

// PackGetRoleAdmin is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x248a9ca3.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function getRoleAdmin(bytes32 role) view returns(bytes32)
func (productionRegistry *ProductionRegistry) PackGetRoleAdmin(role [32]byte) []byte {
	enc, err := productionRegistry.abi.Pack("getRoleAdmin", role)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGetRoleAdmin is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x248a9ca3.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function getRoleAdmin(bytes32 role) view returns(bytes32)
func (productionRegistry *ProductionRegistry) TryPackGetRoleAdmin(role [32]byte) ([]byte, error) {
	return productionRegistry.abi.Pack("getRoleAdmin", role)
}

// UnpackGetRoleAdmin is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x248a9ca3.
//
// Solidity: function getRoleAdmin(bytes32 role) view returns(bytes32)
func (productionRegistry *ProductionRegistry) UnpackGetRoleAdmin(data []byte) ([32]byte, error) {
	out, err := productionRegistry.abi.Unpack("getRoleAdmin", data)
	if err != nil {
		return *new([32]byte), err
	}
	out0 := *abi.ConvertType(out[0], new([32]byte)).(*[32]byte)
	return out0, nil
}

// PackGrantRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x2f2ff15d.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function grantRole(bytes32 role, address account) returns()
func (productionRegistry *ProductionRegistry) PackGrantRole(role [32]byte, account common.Address) []byte {
	enc, err := productionRegistry.abi.Pack("grantRole", role, account)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackGrantRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x2f2ff15d.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function grantRole(bytes32 role, address account) returns()
func (productionRegistry *ProductionRegistry) TryPackGrantRole(role [32]byte, account common.Address) ([]byte, error) {
	return productionRegistry.abi.Pack("grantRole", role, account)
}

// PackHasRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x91d14854.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function hasRole(bytes32 role, address account) view returns(bool)
func (productionRegistry *ProductionRegistry) PackHasRole(role [32]byte, account common.Address) []byte {
	enc, err := productionRegistry.abi.Pack("hasRole", role, account)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackHasRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x91d14854.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function hasRole(bytes32 role, address account) view returns(bool)
func (productionRegistry *ProductionRegistry) TryPackHasRole(role [32]byte, account common.Address) ([]byte, error) {
	return productionRegistry.abi.Pack("hasRole", role, account)
}

// UnpackHasRole is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x91d14854.
//
// Solidity: function hasRole(bytes32 role, address account) view returns(bool)
func (productionRegistry *ProductionRegistry) UnpackHasRole(data []byte) (bool, error) {
	out, err := productionRegistry.abi.Unpack("hasRole", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackLastAnchor is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xab72f78b.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function lastAnchor(string origin) view returns(uint64 treeSize, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) PackLastAnchor(origin string) []byte {
	enc, err := productionRegistry.abi.Pack("lastAnchor", origin)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackLastAnchor is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xab72f78b.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function lastAnchor(string origin) view returns(uint64 treeSize, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) TryPackLastAnchor(origin string) ([]byte, error) {
	return productionRegistry.abi.Pack("lastAnchor", origin)
}

// LastAnchorOutput serves as a container for the return parameters of contract
// method LastAnchor.
type LastAnchorOutput struct {
	TreeSize    uint64
	RootHash    [32]byte
	BlockNumber uint64
	BlockTime   uint64
}

// UnpackLastAnchor is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xab72f78b.
//
// Solidity: function lastAnchor(string origin) view returns(uint64 treeSize, bytes32 rootHash, uint64 blockNumber, uint64 blockTime)
func (productionRegistry *ProductionRegistry) UnpackLastAnchor(data []byte) (LastAnchorOutput, error) {
	out, err := productionRegistry.abi.Unpack("lastAnchor", data)
	outstruct := new(LastAnchorOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.TreeSize = *abi.ConvertType(out[0], new(uint64)).(*uint64)
	outstruct.RootHash = *abi.ConvertType(out[1], new([32]byte)).(*[32]byte)
	outstruct.BlockNumber = *abi.ConvertType(out[2], new(uint64)).(*uint64)
	outstruct.BlockTime = *abi.ConvertType(out[3], new(uint64)).(*uint64)
	return *outstruct, nil
}

// PackPause is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x8456cb59.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function pause() returns()
func (productionRegistry *ProductionRegistry) PackPause() []byte {
	enc, err := productionRegistry.abi.Pack("pause")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackPause is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x8456cb59.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function pause() returns()
func (productionRegistry *ProductionRegistry) TryPackPause() ([]byte, error) {
	return productionRegistry.abi.Pack("pause")
}

// PackPaused is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5c975abb.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function paused() view returns(bool)
func (productionRegistry *ProductionRegistry) PackPaused() []byte {
	enc, err := productionRegistry.abi.Pack("paused")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackPaused is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x5c975abb.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function paused() view returns(bool)
func (productionRegistry *ProductionRegistry) TryPackPaused() ([]byte, error) {
	return productionRegistry.abi.Pack("paused")
}

// UnpackPaused is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x5c975abb.
//
// Solidity: function paused() view returns(bool)
func (productionRegistry *ProductionRegistry) UnpackPaused(data []byte) (bool, error) {
	out, err := productionRegistry.abi.Unpack("paused", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackRecordOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe8ef2834.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function recordOf(string modelId, string version, bytes32 contentHash) view returns(bool exists, uint64 timestamp, uint64 blockNumber, uint64 blockTime, address recorder)
func (productionRegistry *ProductionRegistry) PackRecordOf(modelId string, version string, contentHash [32]byte) []byte {
	enc, err := productionRegistry.abi.Pack("recordOf", modelId, version, contentHash)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRecordOf is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xe8ef2834.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function recordOf(string modelId, string version, bytes32 contentHash) view returns(bool exists, uint64 timestamp, uint64 blockNumber, uint64 blockTime, address recorder)
func (productionRegistry *ProductionRegistry) TryPackRecordOf(modelId string, version string, contentHash [32]byte) ([]byte, error) {
	return productionRegistry.abi.Pack("recordOf", modelId, version, contentHash)
}

// RecordOfOutput serves as a container for the return parameters of contract
// method RecordOf.
type RecordOfOutput struct {
	Exists      bool
	Timestamp   uint64
	BlockNumber uint64
	BlockTime   uint64
	Recorder    common.Address
}

// UnpackRecordOf is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0xe8ef2834.
//
// Solidity: function recordOf(string modelId, string version, bytes32 contentHash) view returns(bool exists, uint64 timestamp, uint64 blockNumber, uint64 blockTime, address recorder)
func (productionRegistry *ProductionRegistry) UnpackRecordOf(data []byte) (RecordOfOutput, error) {
	out, err := productionRegistry.abi.Unpack("recordOf", data)
	outstruct := new(RecordOfOutput)
	if err != nil {
		return *outstruct, err
	}
	outstruct.Exists = *abi.ConvertType(out[0], new(bool)).(*bool)
	outstruct.Timestamp = *abi.ConvertType(out[1], new(uint64)).(*uint64)
	outstruct.BlockNumber = *abi.ConvertType(out[2], new(uint64)).(*uint64)
	outstruct.BlockTime = *abi.ConvertType(out[3], new(uint64)).(*uint64)
	outstruct.Recorder = *abi.ConvertType(out[4], new(common.Address)).(*common.Address)
	return *outstruct, nil
}

// PackRecordProduction is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x6107e723.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function recordProduction(string modelId, string version, bytes32 contentHash, uint64 timestamp) returns(bool created)
func (productionRegistry *ProductionRegistry) PackRecordProduction(modelId string, version string, contentHash [32]byte, timestamp uint64) []byte {
	enc, err := productionRegistry.abi.Pack("recordProduction", modelId, version, contentHash, timestamp)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRecordProduction is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x6107e723.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function recordProduction(string modelId, string version, bytes32 contentHash, uint64 timestamp) returns(bool created)
func (productionRegistry *ProductionRegistry) TryPackRecordProduction(modelId string, version string, contentHash [32]byte, timestamp uint64) ([]byte, error) {
	return productionRegistry.abi.Pack("recordProduction", modelId, version, contentHash, timestamp)
}

// UnpackRecordProduction is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x6107e723.
//
// Solidity: function recordProduction(string modelId, string version, bytes32 contentHash, uint64 timestamp) returns(bool created)
func (productionRegistry *ProductionRegistry) UnpackRecordProduction(data []byte) (bool, error) {
	out, err := productionRegistry.abi.Unpack("recordProduction", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackRenounceRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x36568abe.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function renounceRole(bytes32 role, address callerConfirmation) returns()
func (productionRegistry *ProductionRegistry) PackRenounceRole(role [32]byte, callerConfirmation common.Address) []byte {
	enc, err := productionRegistry.abi.Pack("renounceRole", role, callerConfirmation)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRenounceRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x36568abe.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function renounceRole(bytes32 role, address callerConfirmation) returns()
func (productionRegistry *ProductionRegistry) TryPackRenounceRole(role [32]byte, callerConfirmation common.Address) ([]byte, error) {
	return productionRegistry.abi.Pack("renounceRole", role, callerConfirmation)
}

// PackRevokeRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd547741f.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function revokeRole(bytes32 role, address account) returns()
func (productionRegistry *ProductionRegistry) PackRevokeRole(role [32]byte, account common.Address) []byte {
	enc, err := productionRegistry.abi.Pack("revokeRole", role, account)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackRevokeRole is the Go binding used to pack the parameters required for calling
// the contract method with ID 0xd547741f.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function revokeRole(bytes32 role, address account) returns()
func (productionRegistry *ProductionRegistry) TryPackRevokeRole(role [32]byte, account common.Address) ([]byte, error) {
	return productionRegistry.abi.Pack("revokeRole", role, account)
}

// PackSupportsInterface is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x01ffc9a7.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function supportsInterface(bytes4 interfaceId) view returns(bool)
func (productionRegistry *ProductionRegistry) PackSupportsInterface(interfaceId [4]byte) []byte {
	enc, err := productionRegistry.abi.Pack("supportsInterface", interfaceId)
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackSupportsInterface is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x01ffc9a7.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function supportsInterface(bytes4 interfaceId) view returns(bool)
func (productionRegistry *ProductionRegistry) TryPackSupportsInterface(interfaceId [4]byte) ([]byte, error) {
	return productionRegistry.abi.Pack("supportsInterface", interfaceId)
}

// UnpackSupportsInterface is the Go binding that unpacks the parameters returned
// from invoking the contract method with ID 0x01ffc9a7.
//
// Solidity: function supportsInterface(bytes4 interfaceId) view returns(bool)
func (productionRegistry *ProductionRegistry) UnpackSupportsInterface(data []byte) (bool, error) {
	out, err := productionRegistry.abi.Unpack("supportsInterface", data)
	if err != nil {
		return *new(bool), err
	}
	out0 := *abi.ConvertType(out[0], new(bool)).(*bool)
	return out0, nil
}

// PackUnpause is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x3f4ba83a.  This method will panic if any
// invalid/nil inputs are passed.
//
// Solidity: function unpause() returns()
func (productionRegistry *ProductionRegistry) PackUnpause() []byte {
	enc, err := productionRegistry.abi.Pack("unpause")
	if err != nil {
		panic(err)
	}
	return enc
}

// TryPackUnpause is the Go binding used to pack the parameters required for calling
// the contract method with ID 0x3f4ba83a.  This method will return an error
// if any inputs are invalid/nil.
//
// Solidity: function unpause() returns()
func (productionRegistry *ProductionRegistry) TryPackUnpause() ([]byte, error) {
	return productionRegistry.abi.Pack("unpause")
}

// ProductionRegistryLogAnchored represents a LogAnchored event raised by the ProductionRegistry contract.
type ProductionRegistryLogAnchored struct {
	OriginHash [32]byte
	TreeSize   uint64
	RootHash   [32]byte
	Origin     string
	Raw        *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryLogAnchoredEventName = "LogAnchored"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryLogAnchored) ContractEventName() string {
	return ProductionRegistryLogAnchoredEventName
}

// UnpackLogAnchoredEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event LogAnchored(bytes32 indexed originHash, uint64 indexed treeSize, bytes32 rootHash, string origin)
func (productionRegistry *ProductionRegistry) UnpackLogAnchoredEvent(log *types.Log) (*ProductionRegistryLogAnchored, error) {
	event := "LogAnchored"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryLogAnchored)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryPaused represents a Paused event raised by the ProductionRegistry contract.
type ProductionRegistryPaused struct {
	Account common.Address
	Raw     *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryPausedEventName = "Paused"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryPaused) ContractEventName() string {
	return ProductionRegistryPausedEventName
}

// UnpackPausedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Paused(address account)
func (productionRegistry *ProductionRegistry) UnpackPausedEvent(log *types.Log) (*ProductionRegistryPaused, error) {
	event := "Paused"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryPaused)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryProductionRecorded represents a ProductionRecorded event raised by the ProductionRegistry contract.
type ProductionRegistryProductionRecorded struct {
	Key         [32]byte
	ContentHash [32]byte
	ModelId     string
	Version     string
	Timestamp   uint64
	Recorder    common.Address
	Raw         *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryProductionRecordedEventName = "ProductionRecorded"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryProductionRecorded) ContractEventName() string {
	return ProductionRegistryProductionRecordedEventName
}

// UnpackProductionRecordedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event ProductionRecorded(bytes32 indexed key, bytes32 indexed contentHash, string modelId, string version, uint64 timestamp, address recorder)
func (productionRegistry *ProductionRegistry) UnpackProductionRecordedEvent(log *types.Log) (*ProductionRegistryProductionRecorded, error) {
	event := "ProductionRecorded"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryProductionRecorded)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryRoleAdminChanged represents a RoleAdminChanged event raised by the ProductionRegistry contract.
type ProductionRegistryRoleAdminChanged struct {
	Role              [32]byte
	PreviousAdminRole [32]byte
	NewAdminRole      [32]byte
	Raw               *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryRoleAdminChangedEventName = "RoleAdminChanged"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryRoleAdminChanged) ContractEventName() string {
	return ProductionRegistryRoleAdminChangedEventName
}

// UnpackRoleAdminChangedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event RoleAdminChanged(bytes32 indexed role, bytes32 indexed previousAdminRole, bytes32 indexed newAdminRole)
func (productionRegistry *ProductionRegistry) UnpackRoleAdminChangedEvent(log *types.Log) (*ProductionRegistryRoleAdminChanged, error) {
	event := "RoleAdminChanged"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryRoleAdminChanged)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryRoleGranted represents a RoleGranted event raised by the ProductionRegistry contract.
type ProductionRegistryRoleGranted struct {
	Role    [32]byte
	Account common.Address
	Sender  common.Address
	Raw     *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryRoleGrantedEventName = "RoleGranted"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryRoleGranted) ContractEventName() string {
	return ProductionRegistryRoleGrantedEventName
}

// UnpackRoleGrantedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event RoleGranted(bytes32 indexed role, address indexed account, address indexed sender)
func (productionRegistry *ProductionRegistry) UnpackRoleGrantedEvent(log *types.Log) (*ProductionRegistryRoleGranted, error) {
	event := "RoleGranted"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryRoleGranted)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryRoleRevoked represents a RoleRevoked event raised by the ProductionRegistry contract.
type ProductionRegistryRoleRevoked struct {
	Role    [32]byte
	Account common.Address
	Sender  common.Address
	Raw     *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryRoleRevokedEventName = "RoleRevoked"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryRoleRevoked) ContractEventName() string {
	return ProductionRegistryRoleRevokedEventName
}

// UnpackRoleRevokedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event RoleRevoked(bytes32 indexed role, address indexed account, address indexed sender)
func (productionRegistry *ProductionRegistry) UnpackRoleRevokedEvent(log *types.Log) (*ProductionRegistryRoleRevoked, error) {
	event := "RoleRevoked"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryRoleRevoked)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// ProductionRegistryUnpaused represents a Unpaused event raised by the ProductionRegistry contract.
type ProductionRegistryUnpaused struct {
	Account common.Address
	Raw     *types.Log // Blockchain specific contextual infos
}

const ProductionRegistryUnpausedEventName = "Unpaused"

// ContractEventName returns the user-defined event name.
func (ProductionRegistryUnpaused) ContractEventName() string {
	return ProductionRegistryUnpausedEventName
}

// UnpackUnpausedEvent is the Go binding that unpacks the event data emitted
// by contract.
//
// Solidity: event Unpaused(address account)
func (productionRegistry *ProductionRegistry) UnpackUnpausedEvent(log *types.Log) (*ProductionRegistryUnpaused, error) {
	event := "Unpaused"
	if len(log.Topics) == 0 {
		return nil, bind.ErrNoEventSignature
	}
	if log.Topics[0] != productionRegistry.abi.Events[event].ID {
		return nil, bind.ErrEventSignatureMismatch
	}
	out := new(ProductionRegistryUnpaused)
	if len(log.Data) > 0 {
		if err := productionRegistry.abi.UnpackIntoInterface(out, event, log.Data); err != nil {
			return nil, err
		}
	}
	var indexed abi.Arguments
	for _, arg := range productionRegistry.abi.Events[event].Inputs {
		if arg.Indexed {
			indexed = append(indexed, arg)
		}
	}
	if err := abi.ParseTopics(out, indexed, log.Topics[1:]); err != nil {
		return nil, err
	}
	out.Raw = log
	return out, nil
}

// UnpackError attempts to decode the provided error data using user-defined
// error definitions.
func (productionRegistry *ProductionRegistry) UnpackError(raw []byte) (any, error) {
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["AccessControlBadConfirmation"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackAccessControlBadConfirmationError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["AccessControlUnauthorizedAccount"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackAccessControlUnauthorizedAccountError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["EmptyText"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackEmptyTextError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["EmptyTree"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackEmptyTreeError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["EnforcedPause"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackEnforcedPauseError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["ExpectedPause"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackExpectedPauseError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["ForkedAnchor"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackForkedAnchorError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["StaleAnchor"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackStaleAnchorError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["TextTooLong"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackTextTooLongError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["TimestampInFuture"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackTimestampInFutureError(raw[4:])
	}
	if bytes.Equal(raw[:4], productionRegistry.abi.Errors["ZeroHash"].ID.Bytes()[:4]) {
		return productionRegistry.UnpackZeroHashError(raw[4:])
	}
	return nil, errors.New("Unknown error")
}

// ProductionRegistryAccessControlBadConfirmation represents a AccessControlBadConfirmation error raised by the ProductionRegistry contract.
type ProductionRegistryAccessControlBadConfirmation struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AccessControlBadConfirmation()
func ProductionRegistryAccessControlBadConfirmationErrorID() common.Hash {
	return common.HexToHash("0x6697b23232a647058342c0724fe7c415cab25915b54e5dbc03f233173d37b41c")
}

// UnpackAccessControlBadConfirmationError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AccessControlBadConfirmation()
func (productionRegistry *ProductionRegistry) UnpackAccessControlBadConfirmationError(raw []byte) (*ProductionRegistryAccessControlBadConfirmation, error) {
	out := new(ProductionRegistryAccessControlBadConfirmation)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "AccessControlBadConfirmation", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryAccessControlUnauthorizedAccount represents a AccessControlUnauthorizedAccount error raised by the ProductionRegistry contract.
type ProductionRegistryAccessControlUnauthorizedAccount struct {
	Account    common.Address
	NeededRole [32]byte
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error AccessControlUnauthorizedAccount(address account, bytes32 neededRole)
func ProductionRegistryAccessControlUnauthorizedAccountErrorID() common.Hash {
	return common.HexToHash("0xe2517d3fbfae6f8515ef5ff1ccedc3933ab0cbbda0b492c06eb54ad10ef03b3e")
}

// UnpackAccessControlUnauthorizedAccountError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error AccessControlUnauthorizedAccount(address account, bytes32 neededRole)
func (productionRegistry *ProductionRegistry) UnpackAccessControlUnauthorizedAccountError(raw []byte) (*ProductionRegistryAccessControlUnauthorizedAccount, error) {
	out := new(ProductionRegistryAccessControlUnauthorizedAccount)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "AccessControlUnauthorizedAccount", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryEmptyText represents a EmptyText error raised by the ProductionRegistry contract.
type ProductionRegistryEmptyText struct {
	Field string
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EmptyText(string field)
func ProductionRegistryEmptyTextErrorID() common.Hash {
	return common.HexToHash("0x9fe465fb6baa12a1394b65020bd57ca2f21276d4e077519f54404d2461c343a0")
}

// UnpackEmptyTextError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EmptyText(string field)
func (productionRegistry *ProductionRegistry) UnpackEmptyTextError(raw []byte) (*ProductionRegistryEmptyText, error) {
	out := new(ProductionRegistryEmptyText)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "EmptyText", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryEmptyTree represents a EmptyTree error raised by the ProductionRegistry contract.
type ProductionRegistryEmptyTree struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EmptyTree()
func ProductionRegistryEmptyTreeErrorID() common.Hash {
	return common.HexToHash("0x91363287e86abc9a32e9497c199d101108698f0547673152e7d0221a248c212a")
}

// UnpackEmptyTreeError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EmptyTree()
func (productionRegistry *ProductionRegistry) UnpackEmptyTreeError(raw []byte) (*ProductionRegistryEmptyTree, error) {
	out := new(ProductionRegistryEmptyTree)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "EmptyTree", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryEnforcedPause represents a EnforcedPause error raised by the ProductionRegistry contract.
type ProductionRegistryEnforcedPause struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error EnforcedPause()
func ProductionRegistryEnforcedPauseErrorID() common.Hash {
	return common.HexToHash("0xd93c0665d6c96d04a8f174024fc4ddd66c250604aff22bbec808de86dd3637e3")
}

// UnpackEnforcedPauseError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error EnforcedPause()
func (productionRegistry *ProductionRegistry) UnpackEnforcedPauseError(raw []byte) (*ProductionRegistryEnforcedPause, error) {
	out := new(ProductionRegistryEnforcedPause)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "EnforcedPause", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryExpectedPause represents a ExpectedPause error raised by the ProductionRegistry contract.
type ProductionRegistryExpectedPause struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ExpectedPause()
func ProductionRegistryExpectedPauseErrorID() common.Hash {
	return common.HexToHash("0x8dfc202bcfe9a735b559bee70674422512bc5c30f687046ae8778315fb81da44")
}

// UnpackExpectedPauseError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ExpectedPause()
func (productionRegistry *ProductionRegistry) UnpackExpectedPauseError(raw []byte) (*ProductionRegistryExpectedPause, error) {
	out := new(ProductionRegistryExpectedPause)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "ExpectedPause", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryForkedAnchor represents a ForkedAnchor error raised by the ProductionRegistry contract.
type ProductionRegistryForkedAnchor struct {
	TreeSize uint64
	Recorded [32]byte
	Stated   [32]byte
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ForkedAnchor(uint64 treeSize, bytes32 recorded, bytes32 stated)
func ProductionRegistryForkedAnchorErrorID() common.Hash {
	return common.HexToHash("0x67a8bb008dd67bf033e87b29a3729dfda5433f10736964e611e72b648fd98254")
}

// UnpackForkedAnchorError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ForkedAnchor(uint64 treeSize, bytes32 recorded, bytes32 stated)
func (productionRegistry *ProductionRegistry) UnpackForkedAnchorError(raw []byte) (*ProductionRegistryForkedAnchor, error) {
	out := new(ProductionRegistryForkedAnchor)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "ForkedAnchor", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryStaleAnchor represents a StaleAnchor error raised by the ProductionRegistry contract.
type ProductionRegistryStaleAnchor struct {
	Stated uint64
	Last   uint64
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error StaleAnchor(uint64 stated, uint64 last)
func ProductionRegistryStaleAnchorErrorID() common.Hash {
	return common.HexToHash("0x4de249d2e8d22f6a0b3e745d7a45ea6c150a2389279abfb53a4a11739114db68")
}

// UnpackStaleAnchorError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error StaleAnchor(uint64 stated, uint64 last)
func (productionRegistry *ProductionRegistry) UnpackStaleAnchorError(raw []byte) (*ProductionRegistryStaleAnchor, error) {
	out := new(ProductionRegistryStaleAnchor)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "StaleAnchor", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryTextTooLong represents a TextTooLong error raised by the ProductionRegistry contract.
type ProductionRegistryTextTooLong struct {
	Field string
	Max   *big.Int
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TextTooLong(string field, uint256 max)
func ProductionRegistryTextTooLongErrorID() common.Hash {
	return common.HexToHash("0xafa076dabd5159d9453cb2d8134186491801d014e6da6413e6dbb726b732430e")
}

// UnpackTextTooLongError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TextTooLong(string field, uint256 max)
func (productionRegistry *ProductionRegistry) UnpackTextTooLongError(raw []byte) (*ProductionRegistryTextTooLong, error) {
	out := new(ProductionRegistryTextTooLong)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "TextTooLong", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryTimestampInFuture represents a TimestampInFuture error raised by the ProductionRegistry contract.
type ProductionRegistryTimestampInFuture struct {
	Stated    uint64
	BlockTime uint64
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error TimestampInFuture(uint64 stated, uint64 blockTime)
func ProductionRegistryTimestampInFutureErrorID() common.Hash {
	return common.HexToHash("0xc550f3894b0144b09a13ec11015e6d1d0b4bf1bb52f25484484a530321a49d03")
}

// UnpackTimestampInFutureError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error TimestampInFuture(uint64 stated, uint64 blockTime)
func (productionRegistry *ProductionRegistry) UnpackTimestampInFutureError(raw []byte) (*ProductionRegistryTimestampInFuture, error) {
	out := new(ProductionRegistryTimestampInFuture)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "TimestampInFuture", raw); err != nil {
		return nil, err
	}
	return out, nil
}

// ProductionRegistryZeroHash represents a ZeroHash error raised by the ProductionRegistry contract.
type ProductionRegistryZeroHash struct {
}

// ErrorID returns the hash of canonical representation of the error's signature.
//
// Solidity: error ZeroHash()
func ProductionRegistryZeroHashErrorID() common.Hash {
	return common.HexToHash("0xf1ae58d53750b958ce0ecfcfb8703282d23f4108c501df126d4c9e83b187c78e")
}

// UnpackZeroHashError is the Go binding used to decode the provided
// error data into the corresponding Go error struct.
//
// Solidity: error ZeroHash()
func (productionRegistry *ProductionRegistry) UnpackZeroHashError(raw []byte) (*ProductionRegistryZeroHash, error) {
	out := new(ProductionRegistryZeroHash)
	if err := productionRegistry.abi.UnpackIntoInterface(out, "ZeroHash", raw); err != nil {
		return nil, err
	}
	return out, nil
}
