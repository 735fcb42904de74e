SELECT * FROM contributor WHERE contributor_key = $contributor_key
