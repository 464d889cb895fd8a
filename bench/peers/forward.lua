-- SPDX-License-Identifier: Apache-2.0
-- wrk ... -- TARGET AUTHORITY: one request for all, with a whole URL as its target, as a proxy gets it.
function init(args)
	wrk.path = args[1]
	wrk.headers["Host"] = args[2]
end
